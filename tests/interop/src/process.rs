//! A program of somebody else's, started for one test and ended with it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running program. Dropped, it is asked to end, then ended. It also ends when the thread that started it does.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in `folder`; what it prints goes to `folder/NAME.log`. Panics with a sentence where the program
    /// is not installed.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Process {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let err = out.try_clone().expect("a file has two handles");
        command.current_dir(folder).stdin(Stdio::null()).stdout(out).stderr(err);
        // SAFETY: prctl with these arguments only sets a field of the calling process and is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|e| {
            panic!(
                "cannot start {}: {e} (`make packages` installs what the tests call)",
                command.get_program().display()
            )
        });
        Process { name: name.to_owned(), child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program printed so far.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Its exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the program's own end. Panics with what it printed when that takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        match until(limit, || self.ended()) {
            Some(status) => status,
            None => panic!("{} did not end within {limit:?}; it printed:\n{}", self.name, self.tail()),
        }
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for unless it ended, and then try_wait said so before.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// The last lines that it printed, for a failure's message.
    pub fn tail(&self) -> String {
        let text = self.printed();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.tail());
        }
        if self.ended().is_some() {
            return;
        }
        self.signal(libc::SIGTERM);
        if until(Duration::from_secs(2), || self.ended()).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command that runs on these cores only, as taskset writes them; on any where none are named.
pub fn on_cores(program: &OsStr, cores: Option<&str>) -> Command {
    let Some(cores) = cores else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}

/// Asks again every 10 ms until there is an answer or `limit` has passed.
pub fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}
