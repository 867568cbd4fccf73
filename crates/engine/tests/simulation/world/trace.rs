//! What happened, one line each: the last of it is printed when a promise is broken, and the sum of it says whether two
//! plays of one seed were the same.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Mutex;
use std::time::Duration;

/// Lines that are kept.
const KEPT: usize = 80;

#[derive(Debug, Default)]
struct Lines {
    last: VecDeque<String>,
    sum: DefaultHasher,
    /// Everything, when somebody wants to compare.
    all: Option<Vec<String>>,
}

/// The trace of one world.
#[derive(Debug, Default)]
pub(crate) struct Trace(Mutex<Lines>);

impl Trace {
    pub(crate) fn keeping_all() -> Self {
        Self(Mutex::new(Lines { all: Some(Vec::new()), ..Lines::default() }))
    }

    pub(crate) fn line(&self, at: Duration, who: &str, what: &str) {
        let line = format!("{:>9.3} {who:<8} {what}", at.as_secs_f64());
        let mut lines = self.0.lock().unwrap();
        line.hash(&mut lines.sum);
        if let Some(all) = &mut lines.all {
            all.push(line.clone());
        }
        if lines.last.len() == KEPT {
            lines.last.pop_front();
        }
        lines.last.push_back(line);
    }

    /// The last lines.
    pub(crate) fn last(&self) -> String {
        self.0.lock().unwrap().last.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }

    /// Every line, if all were kept.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().all.clone().unwrap_or_default()
    }

    /// A number that is the same for the same lines.
    pub(crate) fn sum(&self) -> u64 {
        self.0.lock().unwrap().sum.finish()
    }
}
