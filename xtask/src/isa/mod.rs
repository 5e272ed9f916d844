//! `cargo xtask isa`: what real compilers make of the kernels for cards that are not there.
//!
//! The program `isa` of kernels-tests compiles every kernel and variant at the bench cases' sizes, on a driver of Mesa's that
//! takes a card for granted, and marks each text; the driver prints statistics and code between the marks. Nothing
//! executes. A record a card is kept, and `--diff` fails where a text has become worse in what needs no measuring: it spills,
//! fewer waves fit, matrix instructions are gone.

mod agx;
mod bound;
mod cards;
mod code;
mod costs;
mod diff;
mod ir3;
mod marks;
mod mesa;
mod nak;
mod pass;
mod radv;
mod rates;
mod record;
mod show;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use crate::{Result, cargo, prereq};
use cards::Card;
use marks::{Reader, Row, Run};

/// What to compile, and what to do with what is read.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Isa {
    /// Names of cards, such as navi31; without one all
    cards: Vec<String>,
    /// One kernel only: prints, and writes no record
    #[arg(long, value_name = "STEM")]
    kernel: Option<String>,
    /// Only variants with this in their name: prints, and writes no record
    #[arg(long, value_name = "PART", default_value = "")]
    variant: String,
    /// Write nothing; fail where a text has become worse than the record says
    #[arg(long)]
    diff: bool,
    /// Print each text's loops and the code of the hottest
    #[arg(long = "loop", requires = "kernel", conflicts_with = "diff")]
    loops: bool,
    /// Print how long each text takes at least on its card, by published rates; writes no record
    #[arg(long, conflicts_with_all = ["diff", "loops"])]
    bound: bool,
    /// A build of the program `isa` to take instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// The step of CI: the card that changes seldom, against its record.
pub(crate) fn check() -> Result {
    let isa = Isa { cards: vec![cards::GATE.into()], diff: true, ..Isa::default() };
    if run(&isa)? == ExitCode::SUCCESS { Ok(()) } else { Err("a text has become worse, see above".into()) }
}

/// All cards that are asked for; one that fails hides no other.
pub(crate) fn run(isa: &Isa) -> Result<ExitCode> {
    let cards = cards::cards(&isa.cards)?;
    let program = match &isa.program {
        Some(program) => std::path::absolute(program).map_err(|e| format!("{}: {e}", program.display()))?,
        None => {
            prereq::check()?;
            cargo::build(cargo::Kind::Bin, "isa")?
        }
    };
    let mut code = ExitCode::SUCCESS;
    for card in cards {
        let well = one(isa, card, &program).unwrap_or_else(|message| {
            eprintln!("xtask: {}: {message}", card.name);
            false
        });
        if !well {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// One card; false where it is worse than its record.
fn one(isa: &Isa, card: &Card, program: &Path) -> Result<bool> {
    let kept = record::read(card);
    let mesa = mesa::find(card, kept.as_ref().ok().map(|record| record.driver.as_str()))?;
    let start = Instant::now();
    eprintln!("xtask: compiling for {}, {}", card.name, card.what);
    let run = compile(isa, card, &mesa, program)?;
    eprintln!("xtask: {} texts in {:.0} s", run.texts.len(), start.elapsed().as_secs_f64());
    if isa.diff {
        return compare(isa, card, &run, kept?);
    }
    if isa.bound {
        let rates = rates::of(card.name)
            .ok_or("no rates of this card are published, or its compiler prints no code")?;
        print!("{}", bound::shown(&run, rates));
        return Ok(true);
    }
    if isa.kernel.is_some() || !isa.variant.is_empty() {
        for text in &run.texts {
            print!(
                "{}",
                if isa.loops { show::loops(text, rates::of(card.name)) } else { show::row(&text.row) }
            );
        }
        return Ok(true);
    }
    let path = record::write(card, &run)?;
    println!("{}  written to {}", show::summary(card, &run), path.display());
    Ok(true)
}

fn compile(isa: &Isa, card: &Card, mesa: &mesa::Mesa, program: &Path) -> Result<Run> {
    let mut command = mesa.command(program, card)?;
    command.args(isa.kernel.as_deref()).args(["--adapter", card.adapter, "--variant", &isa.variant]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = command.spawn();
    let cannot = |e| format!("cannot start {}: {e}", command.get_program().display());
    let mut child = started.map_err(cannot)?;
    let Some(stream) = child.stderr.take() else { return Err("the program has no standard error".into()) };
    let mut reader = Reader::new(card.driver.dump());
    let mut lines = BufReader::with_capacity(1 << 16, stream);
    let mut line = Vec::new();
    let read = loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => break Ok(()),
            Ok(_) => {
                if let Err(message) =
                    reader.line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']))
                {
                    break Err(message);
                }
            }
            Err(e) => break Err(e.to_string()),
        }
    };
    if read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    read?;
    let mut run = reader.done().map_err(|e| format!("{e} ({status})"))?;
    if !run.adapter.contains(card.adapter) {
        return Err(format!("the driver stands for {}, which is not {}", run.adapter, card.adapter));
    }
    if let Some(rates) = rates::of(card.name) {
        run.texts.iter_mut().for_each(|text| pass::add_to(&text.code, rates, &mut text.row.costs));
    }
    Ok(run)
}

/// Prints what differs from the record; false where something is worse.
fn compare(isa: &Isa, card: &Card, run: &Run, mut kept: record::Record) -> Result<bool> {
    let asked = |row: &Row| isa.kernel.as_ref().is_none_or(|kernel| *kernel == row.kernel);
    kept.rows.retain(|row| asked(row) && row.variant.contains(&isa.variant));
    let now: Vec<Row> = run.texts.iter().map(|text| text.row.clone()).collect();
    let difference = diff::compare(&kept.rows, &now);
    println!(
        "{}: {} texts now, {} in the record\n{}",
        card.name,
        now.len(),
        kept.rows.len(),
        difference.shown().trim_end()
    );
    if kept.driver != run.driver {
        println!(
            "  the record is of {}, this run of {}: what differs may be the driver's doing",
            kept.driver, run.driver
        );
    }
    if !difference.is_empty() {
        println!("  what is meant is written by `cargo xtask isa {}`", card.name);
    }
    Ok(difference.worse.is_empty())
}
