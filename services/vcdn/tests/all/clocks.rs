//! A wall clock that is set while the surrogate runs, and while it does not. The clock is libfaketime's, which nobody here wrote:
//! it is put between the process and the system's, and set by writing a file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use flame_api::Client;
use flame_test_kit::{eventually, loud_skip};
use reqwest::Response;
use rustix::process::{Pid, Signal, kill_process};

use crate::origin::Reply;
use crate::world::{PATIENCE, World, cache_status};

/// A surrogate of its own process, by a clock that can be set.
struct Surrogate {
    child: Mutex<Child>,
    clock: PathBuf,
    address: SocketAddr,
}

// === impl Surrogate ===

impl Surrogate {
    /// Starts it behind the router of `world`, with its cache in `folder`; `None` where libfaketime is not installed.
    async fn start(world: &World, folder: &Path, clock: &str) -> Option<Self> {
        let library =
            fs::read_dir("/usr/lib").ok()?.flatten().map(|arch| arch.path().join("faketime/libfaketime.so.1"));
        let library = library.into_iter().find(|library| library.is_file())?;
        let config = folder.join("config.toml");
        let text = format!(
            "[host]\nlisten = \"127.0.0.1:0\"\nrouter = \"http://{}\"\n[cache]\nfolder = {:?}\n[[fronts]]\nname = \"edge\"\nupstream = \"origin\"\n",
            world.router.address(),
            folder.join("cache"),
        );
        fs::write(&config, text).unwrap();
        let set = folder.join("clock");
        fs::write(&set, clock).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_flame-vcdn"));
        command.arg(&config).env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &set);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let child = Mutex::new(command.stdout(Stdio::null()).spawn().unwrap());
        // It takes a free port itself, and tells the router: a port that was free before may be somebody else's by then.
        let router = Client::new(format!("http://{}", world.router.address()).parse().unwrap(), None);
        let address = eventually(PATIENCE, || async {
            if let Some(status) = child.lock().unwrap().try_wait().unwrap() {
                panic!("the surrogate has ended: {status}");
            }
            let listed = router.endpoints().await.map_err(|error| error.to_string())?.items;
            let edge = listed.iter().find(|endpoint| endpoint.name == "edge.main");
            edge.map(|edge| edge.address).ok_or_else(|| "it is not registered".to_owned())
        })
        .await;
        let surrogate = Self { child, clock: set, address };
        assert_eq!(surrogate.get("/ready").await.status(), 200);
        Some(surrogate)
    }

    async fn get(&self, path: &str) -> Response {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await;
        answer
            .unwrap_or_else(|error| panic!("{path}: {error}; the process: {:?}", self.child.lock().unwrap().try_wait()))
    }

    /// What its clock says from now on: `+3600s` is an hour too late.
    fn set(&self, clock: &str) {
        fs::write(&self.clock, clock).unwrap();
    }

    fn stop(self) {
        let mut child = self.child.lock().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Surrogate {
    fn drop(&mut self) {
        // One that has ended needs no killing.
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn age_s(answer: &Response) -> u64 {
    answer.headers()["age"].to_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_makes_nothing_older_or_younger_and_after_a_restart_nothing_fresh_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start().await;
    world.origin.put("/ready", Reply::new("x").with("cache-control", "no-store"));
    let Some(surrogate) = Surrogate::start(&world, folder.path(), "+0s").await else {
        return loud_skip("a clock that is set needs libfaketime (tools/deps test)");
    };
    // The day of an answer that has been under way for ten minutes.
    world.origin.put("/film", Reply::new("film").with("cache-control", "max-age=3600").with("age", "600"));
    world.origin.put("/live", Reply::new("live").with("cache-control", "max-age=2"));
    for path in ["/film", "/live"] {
        assert_eq!(surrogate.get(path).await.status(), 200);
    }
    for clock in ["+400d", "-400d", "+0s"] {
        surrogate.set(clock);
        let hit = surrogate.get("/film").await;
        assert!(cache_status(&hit).starts_with("hit; ttl="), "{clock}: {}", cache_status(&hit));
        assert!((600..660).contains(&age_s(&hit)), "{clock}: {}", age_s(&hit));
    }
    // What is stale becomes so, whatever the clock says meanwhile.
    surrogate.set("-400d");
    eventually(PATIENCE, || async {
        let status = cache_status(&surrogate.get("/live").await);
        if status.starts_with("fwd=stale") { Ok(()) } else { Err(status) }
    })
    .await;
    // What came while the clock was wrong lives as long as it should, not longer and not for ever.
    world.origin.put("/late", Reply::new("late").with("cache-control", "max-age=3600"));
    assert_eq!(surrogate.get("/late").await.status(), 200);
    assert!(cache_status(&surrogate.get("/late").await).starts_with("hit"));
    surrogate.stop();

    let (film, before) = (world.origin.asked("/film").len(), world.origin.asked("/late").len());
    let surrogate = Surrogate::start(&world, folder.path(), "-1d").await.unwrap();
    for (path, asked) in [("/film", film), ("/late", before)] {
        // It may be 399 days old, or a day too young: upstream says that it is still right.
        let answer = surrogate.get(path).await;
        assert_eq!(cache_status(&answer), "fwd=stale; fwd-status=304; stored", "{path}");
        assert_eq!(world.origin.asked(path).len(), asked + 1);
        assert!(cache_status(&surrogate.get(path).await).starts_with("hit"), "{path}: it is known again");
    }
    surrogate.stop();
    // A clock that went on is believed: an hour later both are over.
    let surrogate = Surrogate::start(&world, folder.path(), "+1h").await.unwrap();
    assert!(cache_status(&surrogate.get("/film").await).starts_with("fwd=stale"));
    surrogate.stop();
}
