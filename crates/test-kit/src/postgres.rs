//! A PostgreSQL server of a test's own, from Debian's package: on a folder and a socket of its own, gone with the test.
//!
//! The server refuses to run as root, so that root starts it as the package's user `postgres`. The catalogue's user `flame` is
//! no superuser: what needs one fails here. Nothing is synced, for nobody pulls the plug of a test.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Scratch, eventually};

/// Where Debian puts the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Time in which a server is up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server with an empty database `flame` of the user `flame`.
#[derive(Debug)]
pub struct Postgres {
    /// Holds the socket and `data`; the server's user owns it.
    folder: Scratch,
    programs: PathBuf,
    server: Option<Child>,
}

/// Whether Debian's package is there.
#[must_use]
pub fn is_installed() -> bool {
    programs().is_some()
}

/// The folder with the programs of the newest version.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?;
    let found = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    found.filter(|folder| folder.join("postgres").is_file()).max()
}

// === impl Postgres ===

impl Postgres {
    /// Starts a server.
    ///
    /// # Panics
    /// When it does not come up, or is not installed ([`is_installed`]).
    pub async fn start() -> Self {
        let programs = programs().expect("PostgreSQL is installed (tools/deps test)");
        let folder = Scratch::new("postgres");
        let template = template(&programs);
        done(Command::new("cp").arg("-r").arg(&template).arg(folder.join("data")));
        done(Command::new("chmod").arg("700").arg(folder.join("data")));
        own(&folder);
        let mut postgres = Self { folder, programs, server: None };
        postgres.resume().await;
        postgres
    }

    /// The URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://flame@localhost/flame?host={}", self.folder.display())
    }

    /// Ends the server, as `systemctl stop` does; what it holds stays.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn halt(&mut self) {
        if let Some(mut server) = self.server.take() {
            // SIGINT: connections are cut, and what is committed is written.
            done(Command::new("kill").arg("-INT").arg(server.id().to_string()));
            server.wait().expect("the server can be waited for");
        }
    }

    /// Starts the server again after [`Postgres::halt`].
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn resume(&mut self) {
        let mut command = as_server(&self.programs.join("postgres"));
        command.arg("-D").arg(self.folder.join("data")).arg("-k").arg(self.folder.path());
        for setting in ["listen_addresses=", "fsync=off", "shared_buffers=16MB", "max_connections=40", "autovacuum=off"]
        {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(self.folder.join("log")).expect("a scratch folder can be written");
        self.server = Some(command.stdin(Stdio::null()).stderr(log).spawn().expect("the server starts"));
        eventually(PATIENCE, || async {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            let status =
                ready.arg("-q").arg("-h").arg(self.folder.path()).status().map_err(|error| error.to_string())?;
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            if status.success() { Ok(()) } else { Err(log()) }
        })
        .await;
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let asked = Command::new("kill").arg("-QUIT").arg(server.id().to_string()).status();
            if asked.is_ok_and(|status| status.success()) {
                let _ = server.wait();
            }
        }
    }
}

/// A folder with a new cluster to copy: made once, beside the tests, for making one takes a second.
fn template(programs: &Path) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.parent().and_then(Path::parent).expect("tests lie two folders deep");
    let version = programs.parent().and_then(Path::file_name).expect("a version's folder").to_string_lossy();
    let template = profile.join(format!("postgres-{version}-template"));
    if template.is_dir() {
        return template;
    }
    let scratch = Scratch::new("postgres-template");
    own(&scratch);
    let data = scratch.join("data");
    let mut init = as_server(&programs.join("initdb"));
    done(
        init.arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"])
            .stdout(Stdio::null()),
    );
    let mut single = as_server(&programs.join("postgres"));
    single.args(["--single", "-D"]).arg(&data).arg("postgres").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut single = single.spawn().expect("the server starts");
    let input = single.stdin.as_mut().expect("it has an input");
    input.write_all(b"CREATE ROLE flame LOGIN\nCREATE DATABASE flame OWNER flame\n").expect("it reads");
    assert!(
        single.wait_with_output().expect("it can be waited for").status.success(),
        "no database in {}",
        data.display()
    );
    let mine = profile.join(scratch.file_name().expect("a scratch folder has a name"));
    done(Command::new("cp").arg("-r").arg(&data).arg(&mine));
    // Another test may have been faster; then its own is as good.
    if fs::rename(&mine, &template).is_err() {
        fs::remove_dir_all(&mine).expect("what was copied can be removed");
    }
    template
}

fn is_root() -> bool {
    let ran = Command::new("id").arg("-u").output().expect("id runs");
    ran.stdout.starts_with(b"0\n")
}

/// Gives a folder to the server's user.
fn own(folder: &Path) {
    if is_root() {
        done(Command::new("chown").args(["-R", "postgres:"]).arg(folder));
    }
}

/// A program that runs as the server's user, and ends when the test is killed.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.current_dir("/");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg("--pdeathsig=QUIT").arg(program);
    command
}

fn done(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
