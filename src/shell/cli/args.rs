//! What can be typed.

use crate::shell::logs;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A telephony softswitch with a contact center in it.
#[derive(Parser, Debug)]
#[command(name = "tandem", version, disable_help_subcommand = true)]
pub struct Args {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(clap::Args, Debug, Clone)]
pub struct Common {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "tandem.yaml")]
    pub config: PathBuf,
    /// Where a running switch answers, instead of http.listen in the configuration; credentials from the environment
    /// (TANDEM_ACCOUNT_SID, TANDEM_AUTH_TOKEN)
    #[arg(long, global = true, value_name = "URL")]
    pub api: Option<String>,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub json: bool,
    /// error, warn, info, debug, trace, or a filter such as info,tandem::sip=debug
    #[arg(long, global = true, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the switch
    Run {
        /// How log lines look; without it: human on a terminal, JSON otherwise
        #[arg(long, value_enum)]
        log_format: Option<LogFormat>,
    },
    /// Read the configuration and everything that it names, and say what is wrong
    Check {
        /// Print the configuration in force, defaults too, without its secrets
        #[arg(long)]
        print: bool,
    },
    /// Run the tests that dialplans carry, in simulated time
    Test {
        /// Files or folders
        #[arg(default_value = "dialplans/")]
        paths: Vec<PathBuf>,
    },
    /// Say which route a call would take, rule by rule
    Explain(Explain),
    /// Rate cards of trunks
    Rates {
        #[command(subcommand)]
        command: RatesCommand,
    },
    /// Print the configuration's JSON Schema
    Schema {
        /// Of dialplans instead
        #[arg(long)]
        dialplan: bool,
    },
    /// Calls that go on
    Calls,
    /// Conferences that go on
    Conferences,
    /// Trunks, their targets and load
    Trunks,
    /// Registered contacts
    Registrations,
    /// Banned sources
    Bans {
        #[command(subcommand)]
        command: Option<BansCommand>,
    },
    /// Queues, and who waits in them
    Queues,
    /// A call's timeline as a ladder
    Trace {
        /// The call's number (CA…), or `last`
        call: String,
    },
    /// The SIP messages of a call that goes on or has ended lately, for Wireshark, tshark and tcpdump
    Pcap {
        /// The call's number (CA…), or `last`
        call: String,
        /// Where to; without it, stdout
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Call detail records
    Cdr(Cdr),
    /// Recordings of calls and messages
    Recordings {
        #[command(subcommand)]
        command: RecordingsCommand,
    },
    /// Place a call; what happens once it is answered is a rule of the dialplan, or one step
    Originate(Originate),
    /// Tell a user's phone how many messages wait for it
    Mwi {
        /// The user
        user: String,
        /// Those that it has not heard
        new: u32,
        /// Those that it has
        #[arg(default_value_t = 0)]
        old: u32,
    },
    /// Show or change where a user's calls go
    Forward(Forward),
    /// Apply the changed configuration, or refuse it whole
    Reload,
    /// Take no new calls; the switch ends with the last one
    Drain,
    /// Take calls again
    Undrain,
    /// End a call
    Hangup {
        /// The call's number (CA…), or `last`
        call: String,
    },
}

/// What is not said stays as it is.
#[derive(clap::Args, Debug)]
pub struct Forward {
    /// The user
    pub user: String,
    /// All calls go there: a number or a name as the user would dial it, or `off`
    #[arg(long, value_name = "N|off")]
    pub always: Option<String>,
    /// Calls that find the user busy
    #[arg(long, value_name = "N|off")]
    pub busy: Option<String>,
    /// Calls that nobody answers
    #[arg(long, value_name = "N|off")]
    pub no_answer: Option<String>,
    /// Its phones do not ring
    #[arg(long, value_name = "on|off", value_parser = on_or_off)]
    pub dnd: Option<bool>,
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("`on` or `off`".into()),
    }
}

#[derive(clap::Subcommand, Debug)]
pub enum RatesCommand {
    /// Read the cards that the configuration names, and say how many rates each has
    Check,
    /// What a number costs by each trunk, and in which order they are tried
    Lookup {
        /// The number called
        number: String,
        /// The moment of the call, as RFC 3339; now without it
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
}

#[derive(clap::Args, Debug)]
pub struct Explain {
    /// The number called
    #[arg(long)]
    pub to: String,
    /// The caller's number
    #[arg(long)]
    pub from: String,
    /// The trunk by which the call comes
    #[arg(long, conflicts_with = "user")]
    pub trunk: Option<String>,
    /// The user who calls
    #[arg(long)]
    pub user: Option<String>,
    /// The moment of the call, as RFC 3339; now without it
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

#[derive(clap::Args, Debug)]
pub struct Originate {
    /// A user, a number, or a SIP URI
    #[arg(long)]
    pub to: String,
    /// The number to show
    #[arg(long, default_value = "")]
    pub from: String,
    /// Call the number by this trunk; without it by each, in their order
    #[arg(long)]
    pub trunk: Vec<String>,
    /// How long it may ring, in seconds
    #[arg(long, default_value_t = 60)]
    pub timeout: u64,
    /// Then do what a call to --number in this context does
    #[arg(long, requires = "number", conflicts_with = "app")]
    pub context: Option<String>,
    #[arg(long, requires = "context")]
    pub number: Option<String>,
    /// Then do this step: `echo`, `play:menu.wav`, `conference:sales`, or steps in YAML: `[ answer, { play: menu.wav } ]`
    #[arg(long, required_unless_present = "context")]
    pub app: Option<String>,
}

#[derive(clap::Args, Debug)]
pub struct Cdr {
    #[command(subcommand)]
    pub command: CdrCommand,
}

#[derive(Subcommand, Debug)]
pub enum BansCommand {
    /// Those that are banned now
    Ls,
    /// Lift a ban
    Rm {
        /// The address
        source: std::net::IpAddr,
    },
}

#[derive(Subcommand, Debug)]
pub enum RecordingsCommand {
    /// The newest recordings
    Ls {
        /// Of this call only (CA…)
        #[arg(long)]
        call: Option<String>,
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Write a recording's sound, decrypted and checked, to a file or to stdout
    Export {
        /// The recording's number (RE…), or `last`
        recording: String,
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Mend what a process that was killed left behind; a switch does so when it starts
    Recover,
}

#[derive(Subcommand, Debug)]
pub enum CdrCommand {
    /// The newest records
    Ls {
        #[command(flatten)]
        filter: Filter,
        /// How many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// All records, the oldest first, read from the store itself
    Export {
        #[command(flatten)]
        filter: Filter,
        #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
        format: ExportFormat,
    },
}

#[derive(clap::Args, Debug)]
pub struct Filter {
    /// Calls that started at or after this moment: 2026-11-22 or 2026-11-22T16:15:00Z
    #[arg(long, visible_alias = "from", value_name = "TIME")]
    pub since: Option<String>,
    /// Calls that started before this moment
    #[arg(long, visible_alias = "to", value_name = "TIME")]
    pub until: Option<String>,
    /// Exactly this caller
    #[arg(long, value_name = "NUMBER")]
    pub caller: Option<String>,
    /// Exactly this number called
    #[arg(long, value_name = "NUMBER")]
    pub called: Option<String>,
    #[arg(long)]
    pub trunk: Option<String>,
    #[arg(long)]
    pub user: Option<String>,
    /// Whose doing the ending was: caller, callee, peer, script, operator, tandem
    #[arg(long)]
    pub class: Option<String>,
    /// Reason of the ending
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
pub enum LogFormat {
    Human,
    Json,
}

impl From<LogFormat> for logs::Format {
    fn from(f: LogFormat) -> Self {
        match f {
            LogFormat::Human => logs::Format::Human,
            LogFormat::Json => logs::Format::Json,
        }
    }
}

#[derive(Clone, Copy, ValueEnum, Debug)]
pub enum ExportFormat {
    Jsonl,
    Csv,
}
