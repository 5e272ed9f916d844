//! A model folder's `scheduler_config.json`: which sampler it was made for.

use super::{SigmaGrid, Solver};
use crate::Result;
use crate::weights::ConfigFile;

/// What a scheduler's configuration says, in this crate's words.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SchedulerConfig {
    /// Its grid of noise levels.
    pub grid: SigmaGrid,
    /// Its integration rule.
    pub solver: Solver,
    /// Its shift of the noise levels; 1 where the file does not state it, as in the classes themselves.
    pub shift: f64,
}

/// Classes that are carried out here, with what each is.
const CLASSES: [(&str, SigmaGrid, Solver); 3] = [
    ("UniPCMultistepScheduler", SigmaGrid::Diffusers, Solver::UniPc),
    ("FlowMatchEulerDiscreteScheduler", SigmaGrid::FlowMatchEuler, Solver::Euler),
    ("FlowUniPCMultistepScheduler", SigmaGrid::Wan, Solver::UniPc),
];

impl SchedulerConfig {
    /// Reads the file's keys.
    ///
    /// # Errors
    /// [`crate::Error::File`] naming the class, or the setting of it, that is not carried out here.
    pub fn from_config(file: &ConfigFile) -> Result<Self> {
        let names = CLASSES.map(|(name, ..)| name);
        let Some(class) = file.str("_class_name")? else {
            let names = names.join(", ");
            return Err(file.refuse(format!("`_class_name` is missing (expected a scheduler: {names})")));
        };
        let Some(&(_, grid, solver)) = CLASSES.iter().find(|(name, ..)| *name == class) else {
            let names = names.join(", ");
            return Err(file.refuse(format!(
                "`_class_name` is \"{class}\", a scheduler that is not built; supported: {names}"
            )));
        };
        file.usize_or("num_train_timesteps", 1000, 1000..=1000)?;
        let mut off =
            vec!["use_dynamic_shifting", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"];
        if grid == SigmaGrid::FlowMatchEuler {
            off.extend(["invert_sigmas", "stochastic_sampling"]);
        } else {
            off.push("thresholding");
            file.usize_or("solver_order", 2, 2..=2)?;
            file.require_one_of("solver_type", &["bh2"])?;
            file.require_one_of("final_sigmas_type", &["zero"])?;
            file.require_absent("solver_p", "another solver for the first steps")?;
            file.require_one_of("prediction_type", &["flow_prediction"])?;
            if grid == SigmaGrid::Diffusers && !file.has("prediction_type") {
                return Err(file.refuse("`prediction_type` is missing, and the class predicts noise then: expected flow_prediction"));
            }
            let flow = [
                ("predict_x0", true),
                ("lower_order_final", true),
                ("use_flow_sigmas", grid == SigmaGrid::Wan),
            ];
            for (key, default) in flow {
                if !file.bool_or(key, default)? {
                    return Err(file.refuse(format!(
                        "`{key}` is not true: {class} is built for flow matching with it on"
                    )));
                }
            }
            let corrects = file.get("disable_corrector").and_then(|v| v.as_array());
            if file.has("disable_corrector") && !corrects.is_some_and(Vec::is_empty) {
                return Err(file.refuse(
                    "`disable_corrector` is not []: steps without a corrector are asked for by code",
                ));
            }
        }
        file.require_absent("shift_terminal", "stretching the noise levels to a terminal one")?;
        for key in off {
            if file.bool_or(key, false)? {
                return Err(file.refuse(format!("`{key}` is true: {class} is built without it")));
            }
        }
        let [key, other] = if class == "UniPCMultistepScheduler" {
            ["flow_shift", "shift"]
        } else {
            ["shift", "flow_shift"]
        };
        let shift = match (file.has(key), file.has(other)) {
            (true, true) => {
                let (a, b) = (file.positive_or(key, 1.0, 100.0)?, file.positive_or(other, 1.0, 100.0)?);
                if a != b {
                    return Err(file
                        .refuse(format!("`{key}` is {a} and `{other}` is {b}: {class} has `{key}` alone")));
                }
                a
            }
            (false, true) => file.positive_or(other, 1.0, 100.0)?,
            _ => file.positive_or(key, 1.0, 100.0)?,
        };
        Ok(Self { grid, solver, shift })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// As diffusers writes it beside Wan 2.1.
    const UNIPC: &str = r#"{"_class_name": "UniPCMultistepScheduler", "_diffusers_version": "0.33.0.dev0", "beta_end": 0.02,
        "disable_corrector": [], "final_sigmas_type": "zero", "flow_shift": 3.0, "lower_order_final": true,
        "num_train_timesteps": 1000, "predict_x0": true, "prediction_type": "flow_prediction", "solver_order": 2,
        "solver_p": null, "solver_type": "bh2", "thresholding": false, "timestep_spacing": "linspace",
        "use_beta_sigmas": false, "use_exponential_sigmas": false, "use_flow_sigmas": true, "use_karras_sigmas": false}"#;
    const EULER: &str = r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "base_shift": 0.5, "max_shift": 1.15,
        "num_train_timesteps": 1000, "shift": 5.0, "use_dynamic_shifting": false}"#;

    fn parse(json: &str) -> Result<SchedulerConfig> {
        SchedulerConfig::from_config(&ConfigFile::from_bytes("scheduler_config.json", json.as_bytes())?)
    }

    #[test]
    fn classes_and_shifts_are_read() {
        let found = |json: &str| parse(json).map(|c| (c.grid, c.solver, c.shift)).unwrap();
        assert_eq!(found(UNIPC), (SigmaGrid::Diffusers, Solver::UniPc, 3.0));
        assert_eq!(found(EULER), (SigmaGrid::FlowMatchEuler, Solver::Euler, 5.0));
        assert_eq!(found(&EULER.replace("\"shift\": 5.0,", "")).2, 1.0);
        assert_eq!(found(&UNIPC.replace("\"flow_shift\"", "\"shift\"")).2, 3.0);
        assert_eq!(found(&UNIPC.replace("\"flow_shift\": 3.0", "\"flow_shift\": 3, \"shift\": 3")).2, 3.0);
        let wan = found(r#"{"_class_name": "FlowUniPCMultistepScheduler", "shift": 8}"#);
        assert_eq!(wan, (SigmaGrid::Wan, Solver::UniPc, 8.0));
    }

    #[test]
    fn what_is_not_carried_out_is_refused_by_name() {
        let error = |json: &str, from: &str, to: &str| {
            let changed = json.replace(from, to);
            assert_ne!(changed, json, "{from}");
            parse(&changed).unwrap_err().to_string()
        };
        let text = error(UNIPC, "UniPCMultistepScheduler", "DPMSolverMultistepScheduler");
        assert!(text.contains("DPMSolverMultistepScheduler") && text.contains("FlowMatchEuler"), "{text}");
        assert!(parse("{}").unwrap_err().to_string().contains("`_class_name` is missing"));
        for (from, to, key) in [
            ("\"use_flow_sigmas\": true", "\"use_flow_sigmas\": false", "use_flow_sigmas"),
            ("\"use_flow_sigmas\": true, ", "", "use_flow_sigmas"),
            ("flow_prediction", "epsilon", "prediction_type"),
            ("\"prediction_type\": \"flow_prediction\", ", "", "prediction_type"),
            ("\"solver_order\": 2", "\"solver_order\": 3", "solver_order"),
            ("bh2", "bh1", "solver_type"),
            ("\"predict_x0\": true", "\"predict_x0\": false", "predict_x0"),
            ("\"lower_order_final\": true", "\"lower_order_final\": false", "lower_order_final"),
            ("\"disable_corrector\": []", "\"disable_corrector\": [0]", "disable_corrector"),
            ("\"disable_corrector\": []", "\"disable_corrector\": 0", "disable_corrector"),
            ("\"thresholding\": false", "\"thresholding\": true", "thresholding"),
            ("\"use_karras_sigmas\": false", "\"use_karras_sigmas\": true", "use_karras_sigmas"),
            ("\"num_train_timesteps\": 1000", "\"num_train_timesteps\": 500", "num_train_timesteps"),
            ("\"zero\"", "\"sigma_min\"", "final_sigmas_type"),
            ("\"solver_p\": null", "\"solver_p\": \"x\"", "solver_p"),
            ("\"flow_shift\": 3.0", "\"flow_shift\": 0", "flow_shift"),
            ("\"flow_shift\": 3.0", "\"flow_shift\": 3, \"shift\": 5", "`flow_shift` is 3 and `shift` is 5"),
        ] {
            let text = error(UNIPC, from, to);
            assert!(text.starts_with("scheduler_config.json: ") && text.contains(key), "{key}: {text}");
        }
        for (key, to) in [("use_dynamic_shifting", "true"), ("use_dynamic_shifting", "1")] {
            let text = error(EULER, "\"use_dynamic_shifting\": false", &format!("\"{key}\": {to}"));
            assert!(text.contains(key), "{text}");
        }
        assert!(error(EULER, "\"shift\"", "\"stochastic_sampling\": true, \"shift\"").contains("stochastic"));
        assert!(error(EULER, "\"shift\"", "\"shift_terminal\": 0.1, \"shift\"").contains("shift_terminal"));
    }
}
