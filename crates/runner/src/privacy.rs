//! Keeps the memory of this process from others of the same user.
//!
//! The server holds the keys to everything in its memory. Where no sandbox can be had, user code runs as the same user, and
//! the kernel would let it read that memory and environment through `/proc`, or trace the process; and a crash would write
//! the memory to a file. Refuses nothing; what the system does not allow is an error for the caller to tell.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dumps, and no other process of this user, root aside, may look into this one or trace it.
///
/// # Errors
/// When the system refuses; nothing is protected then that was not before.
pub fn keep_memory_private() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{dumpable_behavior, getrlimit};

    #[test]
    fn nothing_is_dumped_and_nobody_looks_in() {
        keep_memory_private().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
}
