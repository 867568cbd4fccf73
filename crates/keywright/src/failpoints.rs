//! Tests only: kills this very process with SIGKILL at the point that `KEYWRIGHT_FAILPOINT` names, so that no destructor
//! and no handler runs, as when the machine's memory killer comes by.

/// Arms the named point, if there is one.
pub(crate) fn arm() {
    #[expect(clippy::disallowed_methods, reason = "a switch for tests, which no configuration may know")]
    let Ok(name) = std::env::var("KEYWRIGHT_FAILPOINT") else { return };
    let kill = || {
        // A failure to send a signal to oneself leaves the process alive, which the test reports.
        let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    fail::cfg_callback(name.as_str(), kill).expect("a callback is always a valid action");
}
