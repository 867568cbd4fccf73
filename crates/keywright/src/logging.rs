//! Talk on stderr: one readable line per event, or JSON for machines. stdout is never touched.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, LogFormat};

/// Starts logging for the rest of the process. A second call is ignored.
pub(crate) fn start(config: &Config) {
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(EnvFilter::new(&config.log_filter));
    // `try_init` fails only when logging was started before, which is then good enough.
    let _already_started = match config.log_format {
        LogFormat::Text => builder.with_target(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
}

/// Has a panic say where it happened and nothing else: its message may quote what was being worked on, secrets included.
pub(crate) fn hide_panic_messages() {
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(at) => tracing::error!("a bug: a task panicked at {}:{}; what it was doing was given up", at.file(), at.line()),
        None => tracing::error!("a bug: a task panicked; what it was doing was given up"),
    }));
}

/// Starts logging for a command that has no configuration: progress and worse, for people.
pub(crate) fn start_plain() {
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(EnvFilter::new("info"))
        .with_target(false);
    // `try_init` fails only when logging was started before, which is then good enough.
    let _already_started = subscriber.finish().try_init();
}
