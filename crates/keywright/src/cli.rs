//! The command line. Every option of `serve` can also come from the environment (`KEYWRIGHT_…`) and from the configuration
//! file; a flag beats the environment, the environment beats the file, the file beats the default.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::ServeOptions;

/// Runs browser automations that need to be logged in.
#[derive(Debug, Parser)]
#[command(name = "keywright", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server: HTTP API, engine and worker in one process
    Serve(Box<ServeOptions>),
    /// Upload a project and wait until it is installed, checked and active
    Deploy(DeployOptions),
    /// Make, list and revoke API keys
    Keys(KeysOptions),
    /// Install the base environments that runners need, ahead of the first start
    Setup(SetupOptions),
    /// Check that what is stored keeps the promises, while the server runs or not; 0 nothing is broken, 1 something is, 2 it
    /// could not be found out
    Verify(Box<VerifyOptions>),
    /// Check what a server needs: browser, runners, sandbox, disk, clock, database, keys, blobs
    Doctor(Box<DoctorOptions>),
    /// Copy database and blobs into a new folder while the server runs; SQLite only
    Backup(Box<BackupOptions>),
    /// Make a data folder of a backup, and check it before it is called done
    Restore(RestoreOptions),
}

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// Address of the server
    #[arg(long, env = "KEYWRIGHT_URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// API key; better given by the environment, where other users cannot see it
    #[arg(long, env = "KEYWRIGHT_API_KEY", hide_env_values = true)]
    pub(crate) api_key: String,
    /// The workspace the key belongs to
    #[arg(long, env = "KEYWRIGHT_WORKSPACE_ID")]
    pub(crate) workspace_id: String,
    /// Print JSON and nothing else on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DeployOptions {
    /// The project's folder, with its Intuned.json (or .jsonc, .yaml, .yml, .toml)
    pub(crate) dir: PathBuf,
    /// Deploy under this name instead of the settings file's projectName
    #[arg(long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Args, Debug)]
pub(crate) struct KeysOptions {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key; it is shown once and never again
    Create {
        /// A name for people
        #[arg(long, default_value = "cli")]
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// List the workspace's keys, without the keys themselves
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Revoke a key; it is worth nothing at once
    Revoke {
        /// The key's id, as `list` shows it
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Make a key without having one, in the data folder of a server that is stopped
    Recover {
        /// The server's data folder
        #[arg(long, env = "KEYWRIGHT_DATA_DIR")]
        data_dir: PathBuf,
        /// A name for people
        #[arg(long, default_value = "recovered")]
        name: String,
        /// Print JSON and nothing else on stdout
        #[arg(long)]
        json: bool,
    },
    /// Make new keys for everything that is sealed, while the server runs, or go on with a rotation that was interrupted
    Rotate {
        #[command(flatten)]
        server: Box<ServeOptions>,
        /// Print JSON and nothing else on stdout
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    pub(crate) server: ServeOptions,
    /// Open every blob, too, instead of only looking whether it is there
    #[arg(long)]
    pub(crate) deep: bool,
    /// Print JSON and nothing else on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorOptions {
    #[command(flatten)]
    pub(crate) server: ServeOptions,
    /// Print JSON and nothing else on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct BackupOptions {
    #[command(flatten)]
    pub(crate) server: ServeOptions,
    /// The folder to be made
    #[arg(long)]
    pub(crate) to: PathBuf,
    /// Take the master key along; whoever has the folder can then read everything in it
    #[arg(long)]
    pub(crate) with_key: bool,
    /// Print JSON and nothing else on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RestoreOptions {
    /// The folder of the backup
    #[arg(long)]
    pub(crate) from: PathBuf,
    /// The data folder to be made; it must not be there, or be empty
    #[arg(long, env = "KEYWRIGHT_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// The master key, unless the backup has it
    #[arg(long, env = "KEYWRIGHT_MASTER_KEY_FILE")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// Print JSON and nothing else on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct SetupOptions {
    /// Where the environments are installed; give `serve` the same folder
    #[arg(long, env = "KEYWRIGHT_RUNTIME_DIR")]
    pub(crate) runtime_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_of_serve_can_come_from_the_environment() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").unwrap();
        for argument in serve.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version")) {
            let name = argument.get_id().as_str();
            let expected = format!("KEYWRIGHT_{}", name.to_ascii_uppercase());
            assert_eq!(argument.get_env().and_then(|value| value.to_str()), Some(expected.as_str()), "{name}");
        }
    }
}
