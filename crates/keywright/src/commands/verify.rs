//! `keywright verify`: whether what is stored keeps the promises, on a live or a stopped store.
//!
//! Prints what is broken and changes nothing. Exit codes: 0 nothing is broken, 1 something is, 2 it could not be found out.

use std::collections::HashSet;
use std::process::ExitCode;

use serde_json::json;

use super::examine::{Depth, Findings, examine};
use super::guest::Guest;
use crate::cli::VerifyOptions;
use crate::config::Config;

/// Something is broken.
const EXIT_BROKEN: u8 = 1;
/// It could not be found out.
const EXIT_UNKNOWN: u8 = 2;

/// Looks, and says what was found.
pub(crate) async fn verify(options: VerifyOptions) -> ExitCode {
    let is_json = options.json;
    let findings = match look(options).await {
        Ok(findings) => findings,
        Err(error) => {
            if is_json {
                println!("{}", json!({"error": format!("{error:#}")}));
            }
            eprintln!("keywright: {error:#}");
            return ExitCode::from(EXIT_UNKNOWN);
        }
    };
    let is_clean = findings.violations.is_empty();
    if is_json {
        let mut answer = json!(findings);
        answer["isClean"] = json!(is_clean);
        println!("{answer}");
    } else {
        tell(&findings);
    }
    if is_clean { ExitCode::SUCCESS } else { ExitCode::from(EXIT_BROKEN) }
}

async fn look(options: VerifyOptions) -> anyhow::Result<Findings> {
    let config = Config::load(options.server)?;
    let guest = Guest::open(&config).await?;
    let depth = if options.deep { Depth::Content } else { Depth::Presence };
    let findings = examine(guest.store.as_ref(), &guest.blobs, depth, &HashSet::new()).await;
    guest.store.close().await;
    findings
}

fn tell(findings: &Findings) {
    for broken in &findings.violations {
        println!("BROKEN  {}: {}", broken.invariant, broken.row);
    }
    println!("{} sealed values open, {} blobs are there", findings.sealed_values, findings.blobs);
    match findings.unnamed_blobs {
        Some(0) => {}
        Some(count) => println!("{count} blobs of {} bytes belong to nothing and can be removed", findings.unnamed_bytes),
        None => println!("there are too many blobs to find those that belong to nothing"),
    }
    if findings.is_rotation_open {
        println!("a rotation of keys is not finished: run `keywright keys rotate` again");
    }
    match findings.violations.len() {
        0 => println!("nothing is broken"),
        count => println!("{count} broken"),
    }
}
