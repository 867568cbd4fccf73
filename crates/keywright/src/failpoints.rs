//! Tests only: kills this very process with SIGKILL at the point that `KEYWRIGHT_FAILPOINT` names, so that no destructor
//! and no handler runs, as when the machine's memory killer comes by. `KEYWRIGHT_FAILPOINT_PASSES` says how often the point
//! is passed unharmed before.

use std::sync::atomic::{AtomicU32, Ordering};

/// Arms the named point, if there is one.
pub(crate) fn arm() {
    let Some(name) = switch("KEYWRIGHT_FAILPOINT") else { return };
    let passes = switch("KEYWRIGHT_FAILPOINT_PASSES").map_or(0, |text| text.parse().expect("tests write a number"));
    let passed = AtomicU32::new(0);
    let kill = move || {
        if passed.fetch_add(1, Ordering::Relaxed) < passes {
            return;
        }
        // A failure to send a signal to oneself leaves the process alive, which the test reports.
        let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    fail::cfg_callback(name.as_str(), kill).expect("a callback is always a valid action");
}

fn switch(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a switch for tests, which no configuration may know")]
    std::env::var(name).ok()
}
