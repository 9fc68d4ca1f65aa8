//! The command line: arguments, and what each command prints. The only part of the shell that prints.

mod args;
mod cdr;
mod live;
mod pcap;
mod plan;
mod recordings;
mod table;
mod trace;

use crate::shell::client::Refusal;
use args::{Args, BansCommand, Command, RatesCommand};
use clap::Parser;
use std::fmt::Display;
use std::process::ExitCode;

/// Done.
const DONE: u8 = 0;
/// Bad configuration, or what was asked for is not there.
const FAILED: u8 = 1;

/// The whole program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    ExitCode::from(perform(&args))
}

fn perform(args: &Args) -> u8 {
    let done = match &args.command {
        Command::Run { log_format } => {
            return super::run::run(&args.common.config, log_format.map(Into::into), &args.common.log_level);
        }
        Command::Check { print } => plan::check(&args.common.config, *print),
        Command::Test { paths } => plan::test(&args.common, paths),
        Command::Explain(asked) => plan::explain(&args.common, asked),
        Command::Rates { command: RatesCommand::Check } => plan::rates(&args.common),
        Command::Rates { command: RatesCommand::Lookup { number, at } } => {
            plan::price(&args.common, number, at.as_deref())
        }
        Command::Schema { dialplan } => plan::schema(*dialplan),
        Command::Calls => live::calls(&args.common),
        Command::Conferences => live::conferences(&args.common),
        Command::Trunks => live::trunks(&args.common),
        Command::Registrations => live::registrations(&args.common),
        Command::Bans { command: None | Some(BansCommand::Ls) } => live::bans(&args.common),
        Command::Bans { command: Some(BansCommand::Rm { source }) } => live::unban(&args.common, *source),
        Command::Queues => live::queues(&args.common),
        Command::Trace { call } => trace::trace(&args.common, call),
        Command::Pcap { call, output } => pcap::pcap(&args.common, call, output.as_deref()),
        Command::Recordings { command } => recordings::recordings(&args.common, command),
        Command::Cdr(cdr) => cdr::cdr(&args.common, cdr),
        Command::Originate(asked) => live::originate(&args.common, asked),
        Command::Mwi { user, new, old } => live::mwi(&args.common, user, *new, *old),
        Command::Forward(asked) => live::forward(&args.common, asked),
        Command::Reload => live::reload(&args.common),
        Command::Drain => {
            live::post(&args.common, "drain", "draining: no new calls; the switch ends with the last one")
        }
        Command::Undrain => live::post(&args.common, "undrain", "taking calls again"),
        Command::Hangup { call } => live::hangup(&args.common, call),
    };
    match done {
        Ok(()) => DONE,
        Err(sentence) => {
            complain(&sentence.to_string());
            FAILED
        }
    }
}

/// What a command could not do, as a sentence.
#[derive(Debug)]
pub struct Sentence(String);

impl Display for Sentence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Sentence {
    fn from(s: &str) -> Self {
        Sentence(s.into())
    }
}

impl From<String> for Sentence {
    fn from(s: String) -> Self {
        Sentence(s)
    }
}

impl From<Refusal> for Sentence {
    fn from(r: Refusal) -> Self {
        Sentence(r.to_string())
    }
}

/// One line on stderr.
pub fn complain(sentence: &str) {
    eprintln!("tandem: {sentence}");
}

/// Prints and does not mind a reader who went away.
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
