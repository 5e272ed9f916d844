//! Readers on excerpts of what drivers printed, loops of small code, and verdicts on planted differences.

use super::cards::{CARDS, Card, Driver, GATE, cards};
use super::code::{Code, Kind};
use super::costs::{Cost, Costs};
use super::diff::{Difference, compare};
use super::marks::{Reader, Row, Run};
use super::{rates, record, show};

mod passes;

const CAPS: &str = "@@@CAPS\t{\"adapter\":\"A card\",\"driver\":\"radv Mesa 25.0.7\",\"caps\":\"\"}\n";
const TEXT: &str = "@@@TEXT\t{\"kernel\":\"matmul\",\"case\":\"model: matmul(m=1)\",\"variant\":\"f16(a,B=1)\",\
                    \"way\":\"matrices\",\"taken\":true,\"matrices\":true}\n";
const END: &str = "@@@DONE\tnull\n@@@END\t1\n";

fn read(driver: Driver, lines: &str) -> Result<Run, String> {
    let mut reader = Reader::new(driver.dump());
    lines.lines().try_for_each(|line| reader.line(line))?;
    reader.done()
}

/// One text of which a driver prints this.
fn one(driver: Driver, printed: &str) -> Run {
    read(driver, &format!("{CAPS}{TEXT}{printed}{END}")).expect("a run")
}

fn costs(driver: Driver, printed: &str) -> Vec<String> {
    let costs = &one(driver, printed).texts[0].row.costs;
    costs.known().split(", ").map(Into::into).collect()
}

fn has(costs: &[String], all: &[&str]) {
    for one in all {
        assert!(costs.iter().any(|cost| cost == one), "no {one} in {costs:?}");
    }
}

#[test]
fn radv_prints_statistics_and_code() {
    let costs = costs(Driver::Radv, include_str!("excerpts/radv.txt"));
    has(
        &costs,
        &["registers 156", "spilled 3", "spilled_scalar 2", "scratch 768", "lds 25600", "instructions 427"],
    );
    // Eight as if waves had 32 invocations.
    has(&costs, &["wave 64", "waves 4"]);
    has(&costs, &["matrix 2", "lds16 2", "lds128 1", "memory16 0", "memory128 1", "barriers 1"]);
    // Of the loop: two products, the move, the multiply-add and two operations issued at once; three loads and a store.
    has(&costs, &["loop_matrix 2", "vector/matrix 2", "lds/matrix 2"]);
    assert!(!costs.iter().any(|cost| cost.starts_with("code_bytes")), "differs from run to run: {costs:?}");
}

#[test]
fn nak_prints_every_pass_and_the_last_counts() {
    let costs = costs(Driver::Nvk, include_str!("excerpts/nak.txt"));
    has(
        &costs,
        &["registers 24", "spilled 1", "spilled_scalar 35", "scratch 256", "lds 4096", "instructions 9"],
    );
    has(&costs, &["wave 32", "waves 48", "matrix 1", "lds16 1", "memory128 1", "barriers 1"]);
    has(&costs, &["loop_matrix 1", "vector/matrix 2", "lds/matrix 1"]);
    assert!(!costs.iter().any(|cost| cost.starts_with("code_bytes")), "NAK doesn't tell: {costs:?}");
}

#[test]
fn honeykrisp_prints_a_line() {
    let printed = "CS shader: 3563 instrs, 3364 alu, 3364 fscib, 302 ic, 26204 code size, 255 gprs, 294 uniforms, 20 \
                   scratch, 384 threads, 6 loops, 5:7 spills:fills, 133 preamble inst\n";
    let costs = costs(Driver::Honeykrisp, printed);
    let all = [
        "registers 255",
        "spilled 5",
        "scratch 20",
        "wave 32",
        "waves 12",
        "code_bytes 26204",
        "instructions 3563",
    ];
    assert_eq!(costs, all, "what it doesn't tell stays empty");
}

#[test]
fn turnip_prints_code_and_statistics() {
    let costs = costs(Driver::Turnip, include_str!("excerpts/ir3.txt"));
    has(&costs, &["registers 48", "lds 12296", "wave 64", "waves 16", "code_bytes 1664", "instructions 257"]);
    // A repeated multiply-add is four, beside one addition and one shift.
    has(&costs, &["matrix 0", "lds128 1", "memory128 1", "barriers 1", "fma% 66.7"]);
    assert!(!costs.iter().any(|cost| cost.starts_with("spilled")), "not told: {costs:?}");
}

#[test]
fn the_size_of_a_wave_is_read_from_its_mask() {
    let code = |line: &str| format!("disasm:\nBB0:\n\t{line} ; bf800000 00000000\nSubgroups per SIMD: 16\n");
    for (line, told) in [
        ("s_mov_b64 exec, -1", Some(["wave 64", "waves 8"])),
        ("v_cmpx_eq_u32 vcc, v0, v1", Some(["wave 64", "waves 8"])),
        ("s_mov_b32 exec_lo, s0", Some(["wave 32", "waves 16"])),
        ("v_cndmask_b32 v0, v1, v2, vcc_lo", Some(["wave 32", "waves 16"])),
        // Half of a mask as a register like any other.
        ("s_and_saveexec_b64 s[0:1], vcc_lo, exec", Some(["wave 64", "waves 8"])),
        ("v_add_f32 v0, v1, v2", None),
    ] {
        let costs = costs(Driver::Radv, &code(line));
        match told {
            Some(told) => has(&costs, &told),
            None => assert!(!costs.iter().any(|cost| cost.starts_with("wave")), "{line}: {costs:?}"),
        }
    }
}

fn radv(lines: &str) -> Code {
    let lines: String = lines
        .lines()
        .map(|line| if line.ends_with(':') { format!("{line}\n") } else { format!("\t{line} ; 0\n") })
        .collect();
    std::mem::take(&mut one(Driver::Radv, &format!("disasm:\n{lines}")).texts[0].code)
}

#[test]
fn the_loop_of_a_tile_keeps_its_staging() {
    let code = radv(
        "BB0:\ns_mov_b64 exec, -1\nBB1:\nbuffer_load_b128 v[0:3], v0\ns_cbranch_execz BB2\nv_mul_f32 v1, v2, v3\n\
         BB2:\ns_barrier\nBB3:\nv_wmma_f32_16x16x16_f16 v0\ns_cbranch_scc1 BB3\nBB4:\ns_cbranch_scc0 BB1\nBB5:\nv_wmma_f32 v0\n",
    );
    let hottest = code.hottest().expect("a loop");
    // Two in all: the one behind the loops is no part of one.
    assert_eq!(code.counts(hottest)[&Kind::Matrix], 1);
    assert_eq!(code.counts(hottest)[&Kind::Barrier], 1, "the inner loop alone does not stage");
    assert_eq!(code.loops().len(), 2);
    let skippable = code.skippable(hottest);
    assert_eq!(skippable.len(), 1);
    assert_eq!(code.counts(skippable[0])[&Kind::Float], 1);
}

#[test]
fn work_is_looked_for_inward() {
    let code = radv(
        "BB0:\ns_mov_b64 exec, -1\nBB1:\nv_fma_f32 v0\nv_exp_f32 v0\nBB2:\nv_fma_f32 v0\nv_fmac_f32 v0\nv_dual_fmac_f32 v0 :: \
         v_dual_mul_f32 v1\ns_cbranch_scc1 BB2\nBB3:\ns_branch BB1\n",
    );
    let counts = code.counts(code.hottest().expect("a loop"));
    assert_eq!((counts[&Kind::MultiplyAdd], counts[&Kind::Float]), (3, 1));
    assert!(!counts.contains_key(&Kind::Transcendental));
    assert_eq!(radv("BB0:\nv_add_f32 v0\ns_mov_b64 exec, 0\n").hottest(), None);
}

#[test]
fn a_run_that_was_cut_short_is_an_error() {
    let cut = read(Driver::Radv, &format!("{CAPS}{TEXT}")).expect_err("cut short");
    assert!(cut.contains("matmul | model"), "{cut}");
    let refused = read(Driver::Radv, "isa: no adapter\n").expect_err("no end");
    assert!(refused.contains("isa: no adapter"), "{refused}");
    let silent = read(Driver::Radv, &format!("{CAPS}{TEXT}{END}")).expect_err("nothing printed");
    assert!(silent.contains("printed nothing"), "{silent}");
    let missing = read(Driver::Radv, &format!("{CAPS}@@@END\t1\n")).expect_err("a text too few");
    assert!(missing.contains("counted 1 texts"), "{missing}");
    let error = format!("{CAPS}{TEXT}@@@DONE\t\"two\\nlines\"\n@@@END\t1\n");
    let refused = read(Driver::Radv, &error).expect("a run");
    assert_eq!(refused.texts[0].row.error.as_deref(), Some("two lines"));
}

fn row(variant: &str, told: &[(Cost, f64)]) -> Row {
    let mut costs = Costs::default();
    told.iter().for_each(|(cost, value)| costs.set(*cost, *value));
    Row { kernel: "attention".into(), case: "case".into(), variant: variant.into(), costs, ..Row::default() }
}

const SOUND: [(Cost, f64); 7] = [
    (Cost::Spilled, 0.0),
    (Cost::Scratch, 0.0),
    (Cost::Waves, 4.0),
    (Cost::Matrix, 32.0),
    (Cost::Overlap, 60.0),
    (Cost::Serial, 30.0),
    (Cost::RoundTrips, 2.0),
];

/// The verdict where one number of a sound text changes.
fn planted(cost: Cost, value: f64) -> Difference {
    let mut now = row("f16", &SOUND);
    now.costs.set(cost, value);
    compare(&[row("f16", &SOUND)], &[now])
}

#[test]
fn what_is_worse_fails() {
    for (cost, value, shown) in [
        (Cost::Spilled, 5.0, "spilled 0 → 5"),
        (Cost::Scratch, 64.0, "scratch 0 → 64"),
        (Cost::Waves, 2.0, "waves 4 → 2"),
        (Cost::Matrix, 16.0, "matrix 32 → 16"),
        (Cost::Matrix, 0.0, "matrix 32 → 0"),
        (Cost::Overlap, 56.9, "overlap% 60 → 56.9"),
        (Cost::Serial, 28.4, "serial% 30 → 28.4"),
        (Cost::RoundTrips, 3.0, "round_trips 2 → 3"),
    ] {
        let worse = planted(cost, value).worse;
        assert!(
            worse.len() == 1 && worse[0].contains(shown) && worse[0].contains("attention | case | f16"),
            "{worse:?}"
        );
    }
    assert_eq!(compare(&[row("f16", &SOUND)], &[row("f16", &SOUND)]), Difference::default());
}

#[test]
fn what_is_better_or_not_judged_is_told() {
    for (cost, value) in [(Cost::Waves, 8.0), (Cost::Matrix, 64.0)] {
        let told = planted(cost, value);
        assert_eq!((told.worse.len(), told.better.len()), (0, 1));
    }
    for (cost, value) in [
        (Cost::Registers, 200.0),
        // What another order of instructions may make of it.
        (Cost::Overlap, 57.1),
        (Cost::Serial, 29.1),
    ] {
        let told = planted(cost, value);
        assert_eq!((told.worse.len(), told.better.len(), told.other), (0, 0, 1), "{cost:?}");
    }
    let told = planted(Cost::Registers, 200.0);
    assert!(told.shown().contains("other numbers of 1 texts"));
    // More waves do not make up for spills.
    let mut now = row("f16", &SOUND);
    now.costs.set(Cost::Waves, 8.0);
    now.costs.set(Cost::Spilled, 1.0);
    let told = compare(&[row("f16", &SOUND)], &[now]);
    assert!(told.worse.len() == 1 && told.better.is_empty(), "{told:?}");
}

#[test]
fn texts_that_do_not_compile_or_tell_less_fail() {
    let mut failed = row("f16", &[]);
    failed.error = Some("refused".into());
    let told = compare(&[row("f16", &SOUND)], std::slice::from_ref(&failed));
    assert!(told.worse[0].contains("does not compile: refused"), "{told:?}");
    assert_eq!(compare(std::slice::from_ref(&failed), &[row("f16", &SOUND)]).better.len(), 1);
    assert!(compare(&[], &[failed]).worse[0].contains("new and does not compile"));
    let told = compare(&[row("f16", &SOUND)], &[row("f16", &SOUND[..2])]);
    assert!(told.worse[0].contains("waves 4 → -"), "{told:?}");
    // A text may come to have no loop, and a record may be from before there were these.
    for (was, now) in [(&SOUND[..], &SOUND[..4]), (&SOUND[..4], &SOUND[..])] {
        let told = compare(&[row("f16", was)], &[row("f16", now)]);
        assert_eq!((told.worse.len(), told.better.len(), told.other), (0, 0, 1), "{told:?}");
    }
}

#[test]
fn new_and_gone_texts_are_told() {
    let told = compare(&[row("old", &SOUND)], &[row("new", &SOUND)]);
    assert_eq!((told.worse.len(), told.new.len(), told.gone.len()), (0, 1, 1), "{told:?}");
    let told = compare(&[], &[row("f16", &[(Cost::Spilled, 7.0)])]);
    assert!(told.worse[0].contains("new and spills 7"), "{told:?}");
    // The only text of its case with matrix instructions.
    let told = compare(&[row("f16", &SOUND), row("f32", &[])], &[row("f32", &[])]);
    assert!(told.worse[0].contains("matrix 32 → 0"), "{told:?}");
    assert_eq!(compare(&[row("f32", &[])], &[]).gone.len(), 1);
}

fn gate() -> &'static Card {
    cards(&[GATE.into()]).expect("a card")[0]
}

#[test]
fn a_record_reads_back() {
    let run = one(Driver::Radv, include_str!("excerpts/radv.txt"));
    let mut failed = row("f32", &[]);
    failed.error = Some("refused".into());
    let rows = [&run.texts[0].row, &failed];
    let text = record::text(gate(), &run.driver, &rows);
    let record = record::parse(&text).expect("a record");
    assert_eq!(record.driver, "radv Mesa 25.0.7");
    assert!(record.rows.iter().eq(rows), "{record:?}");
    assert!(record::parse(&text.replace("\trefused", "")).is_err_and(|e| e.contains("line 6")));
    assert!(
        record::parse(&text.replace("matrix\t", "other\t")).is_err_and(|e| e.contains("no column matrix"))
    );
    let older = text.replace("overlap%", "gone").replace("round_trips", "gone, too");
    assert!(record::parse(&older).is_ok_and(|record| record.rows[0].costs.get(Cost::Overlap).is_none()));
    assert!(record::parse(&text.replace("\t156\t", "\tmany\t")).is_err_and(|e| e.contains("registers")));
}

#[test]
fn the_summary_names_what_spills() {
    let run = one(Driver::Radv, include_str!("excerpts/radv.txt"));
    let text = show::summary(gate(), &run);
    assert!(text.contains("1 spill registers") && text.contains("spills most: matmul"), "{text}");
    assert!(text.contains("matmul.matrices: 1 of 1 texts have matrix instructions, 1 taken"), "{text}");
    let text = show::loops(&run.texts[0], rates::of(GATE));
    assert!(
        text.contains("hottest loop BB1..BB2") && text.contains("a matrix instruction: vector 2.0"),
        "{text}"
    );
    let pass =
        "usual pass: 2 times a product of 16 × 16 × 16, each with vector 1.50, lds 2.00 (25 % by 128 bits)";
    assert!(text.contains(pass) && text.contains("overlap 91 %, serial 48 %: BB1 BB2\n"), "{text}");
    assert!(!show::loops(&run.texts[0], None).contains("usual pass"), "a card without rates");
}

#[test]
fn cards_have_names_of_their_own() {
    for (at, card) in CARDS.iter().enumerate() {
        assert!(CARDS[..at].iter().all(|other| other.name != card.name), "{}", card.name);
    }
    assert_eq!(cards(&[]).map(|all| all.len()), Ok(CARDS.len()));
    assert!(cards(&["voodoo".into()]).is_err_and(|e| e.contains("navi31")));
}
