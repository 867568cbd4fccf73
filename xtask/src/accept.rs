//! The acceptance programme: every figure that a release must hold, each measured by a program of its own.
//!
//! A program gets a size and a seed, and prints one line of JSON: which figure, how often it was tried, how many promises
//! were broken, and how long what it times took. This command passes that line through and refuses anything else, so that a
//! program that measured nothing cannot be taken for one that found nothing. It ends non-zero when any promise was broken or
//! any program failed; one that fails does not hide the others.

use std::fmt;
use std::io::Read as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::command::{program, root};
use crate::machine::{Profile, build, install_packages, npm_ci, python_environment, runtime_dir};

/// One figure of the programme.
pub(crate) struct Figure {
    id: &'static str,
    what: &'static str,
    by: Program,
}

/// What measures a figure.
enum Program {
    /// A module of `tests/e2e`, run in the environment of the end-to-end tests against the real binary.
    Python(&'static str),
    /// A program of the workspace: the arguments of cargo that build and run it, up to those of the program itself.
    Cargo(&'static [&'static str]),
}

/// Every figure that can be measured, in order.
pub(crate) const FIGURES: [Figure; 9] = [
    Figure {
        id: "A1",
        what: "kill -9 at random and at every failpoint, under load: nothing lost, doubled or stuck",
        by: Program::Python("accept.a01_crash"),
    },
    Figure {
        id: "A2",
        what: "an fsync before every answer that promises something; power cuts lose nothing acknowledged",
        by: Program::Python("accept.a02_durability"),
    },
    Figure {
        id: "A3",
        what: "seeded simulation of several nodes with every fault; every planted bug is found",
        by: Program::Cargo(&[
            "run",
            "--locked",
            "--quiet",
            "--release",
            "--package",
            "keywright-engine",
            "--features",
            "planted-bugs",
            "--example",
            "a03_simulation",
            "--",
        ]),
    },
    Figure {
        id: "A5",
        what: "three workers and PostgreSQL behind a faulty wire: partitions, kills, stops beyond the lease, restarts",
        by: Program::Python("accept.a05_nodes"),
    },
    Figure {
        id: "A6",
        what: "how long it takes until things work again after each kind of fault",
        by: Program::Python("accept.a06_recovery"),
    },
    Figure {
        id: "A7",
        what: "a soak of real runs with crashes, timeouts and cancels: nothing grows that should not",
        by: Program::Python("accept.a07_soak"),
    },
    Figure {
        id: "A8",
        what: "attempts with real browsers, ended in every way: nothing of them is left 10 s later",
        by: Program::Python("accept.a08_hygiene"),
    },
    Figure {
        id: "A18",
        what: "full disk, read-only and damaged database, foreign locks, a failing write at every place, a broken browser",
        by: Program::Python("accept.a18_disk"),
    },
    Figure {
        id: "A20",
        what: "the master key is rotated under load and under kill -9: nothing undecryptable",
        by: Program::Python("accept.a20_key_rotation"),
    },
];

/// How much is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Minutes.
    Quick,
    /// Hours; before a release.
    Long,
}

impl Size {
    const fn argument(self) -> &'static str {
        match self {
            Self::Quick => "--quick",
            Self::Long => "--long",
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<4} {}", self.id, self.what)
    }
}

/// Prints which figures there are.
pub(crate) fn list() {
    for figure in &FIGURES {
        println!("{figure}");
    }
}

/// Measures the figures with these ids, or all of them, and prints one line for each.
pub(crate) fn accept(ids: &[String], size: Size, seed: Option<u32>) -> anyhow::Result<()> {
    for id in ids {
        ensure!(FIGURES.iter().any(|figure| figure.id.eq_ignore_ascii_case(id)), "there is no figure {id}; --list shows all");
    }
    let is_wanted = |figure: &&Figure| ids.is_empty() || ids.iter().any(|id| figure.id.eq_ignore_ascii_case(id));
    let wanted: Vec<&Figure> = FIGURES.iter().filter(is_wanted).collect();

    install_packages()?;
    let mut bench = Bench { binary: None };
    let mut failed = Vec::new();
    for figure in wanted {
        // Every program gets a seed of its own, so that one that is run alone again is told the same one.
        let seed = seed.map_or_else(fresh_seed, Ok)?;
        eprintln!("\n{figure} ({}, seed {seed})", size.argument());
        match bench.measure(figure, size, seed) {
            Ok(Outcome { line, is_held }) => {
                println!("{line}");
                if !is_held {
                    failed.push(figure.id);
                }
            }
            Err(error) => {
                eprintln!("{} could not be measured: {error:#}", figure.id);
                failed.push(figure.id);
            }
        }
    }
    if !failed.is_empty() {
        bail!("not held: {}", failed.join(", "));
    }
    Ok(())
}

/// What a program said.
struct Outcome {
    line: String,
    is_held: bool,
}

/// What programs need, made when the first of them needs it.
struct Bench {
    binary: Option<std::path::PathBuf>,
}

impl Bench {
    fn measure(&mut self, figure: &Figure, size: Size, seed: u32) -> anyhow::Result<Outcome> {
        let mut command = match figure.by {
            Program::Python(module) => self.python(module)?,
            Program::Cargo(arguments) => {
                let mut command = program("cargo");
                command.args(arguments);
                command
            }
        };
        command.args([size.argument(), "--seed", &seed.to_string()]);
        let (printed, has_succeeded) = printed_by(&mut command)?;
        let line = one_line(&printed, figure.id, seed)?;
        ensure!(
            has_succeeded == (line.violations == 0),
            "it reports {} violations, but {}",
            line.violations,
            if has_succeeded { "succeeded" } else { "failed" }
        );
        Ok(Outcome { line: line.text, is_held: has_succeeded })
    }

    fn python(&mut self, module: &str) -> anyhow::Result<Command> {
        let binary = match &self.binary {
            Some(binary) => binary,
            None => {
                npm_ci("runners/node")?;
                self.binary.insert(build(Profile::Test)?)
            }
        };
        let python = python_environment("e2e", &["-r", "tests/e2e/requirements.txt"])?.join("bin/python");
        let mut command = program(python);
        command
            .args(["-m", module])
            .current_dir(root().join("tests/e2e"))
            .env("KEYWRIGHT_BINARY", binary)
            .env("KEYWRIGHT_TEST_RUNTIME_DIR", runtime_dir());
        Ok(command)
    }
}

/// Runs a program, its stderr shown; what it printed on stdout, and whether it succeeded.
fn printed_by(command: &mut Command) -> anyhow::Result<(String, bool)> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the program")?;
    let mut printed = String::new();
    child.stdout.take().context("the program has no stdout")?.read_to_string(&mut printed)?;
    Ok((printed, child.wait()?.success()))
}

/// The one line of a program.
struct Line {
    text: String,
    violations: u64,
}

/// Holds what a program printed against the form of its line.
fn one_line(printed: &str, id: &str, seed: u32) -> anyhow::Result<Line> {
    let mut lines = printed.lines();
    let text = lines.next().context("it printed no line")?;
    ensure!(lines.next().is_none(), "it printed more than one line: {printed}");
    let fields: Value = serde_json::from_str(text).with_context(|| format!("its line is no JSON: {text}"))?;
    ensure!(fields["id"] == id, "its line is that of {}, not of {id}", fields["id"]);
    ensure!(fields["seed"] == seed, "it was told seed {seed} and reports {}", fields["seed"]);
    let number = |name: &str| fields[name].as_u64().with_context(|| format!("`{name}` of its line is no number: {text}"));
    ensure!(number("n")? > 0, "it tried nothing: {text}");
    for name in ["p50", "p99", "max"] {
        let value = fields.get(name).with_context(|| format!("its line has no `{name}`: {text}"))?;
        ensure!(value.is_number() || value.is_null(), "`{name}` of its line is neither a number nor null: {text}");
    }
    Ok(Line { text: text.to_owned(), violations: number("violations")? })
}

/// A seed that nobody chose.
fn fresh_seed() -> anyhow::Result<u32> {
    let mut bytes = [0; 4];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"A1","seed":7,"n":3,"violations":0,"p50":1.5,"p99":null,"max":2,"broken":[]}"#;

    #[test]
    fn a_line_is_taken_and_anything_else_refused() {
        assert!(one_line(GOOD, "A1", 7).is_ok_and(|line| line.violations == 0 && line.text == GOOD));
        for (printed, id, seed) in [
            ("", "A1", 7),
            ("nothing", "A1", 7),
            (GOOD, "A2", 7),
            (GOOD, "A1", 8),
            (&format!("{GOOD}\n{GOOD}"), "A1", 7),
            (&GOOD.replace(r#""n":3"#, r#""n":0"#), "A1", 7),
            (&GOOD.replace(r#""violations":0,"#, ""), "A1", 7),
            (&GOOD.replace(r#""max":2"#, r#""max":"2""#), "A1", 7),
            (&GOOD.replace(r#","p99":null"#, ""), "A1", 7),
        ] {
            assert!(one_line(printed, id, seed).is_err(), "{printed}");
        }
    }

    #[test]
    fn every_program_is_a_figure_and_every_figure_has_its_program() {
        let folder = root().join("tests/e2e/accept");
        let mut programs: Vec<String> = std::fs::read_dir(folder)
            .expect("the programs are there")
            .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
            .filter(|name| name.starts_with('a') && name[1..].starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        programs.sort();
        let mut named: Vec<String> = FIGURES
            .iter()
            .filter_map(|figure| match figure.by {
                Program::Python(module) => module.strip_prefix("accept.").map(str::to_owned),
                Program::Cargo(_) => None,
            })
            .collect();
        named.sort();
        assert_eq!(programs, named);
    }
}
