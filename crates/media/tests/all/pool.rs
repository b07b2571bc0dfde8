//! The parent's side against the real child: reuse, crashes, hangs, cancellation, orphans.

use std::{path::PathBuf, process::Stdio, time::Duration};

use flame_media_child::{
    Call, ChildError, Limits, Pool, PoolConfig,
    protocol::{Event, LadderPlan, Outcome, Request},
};
use flame_test_kit::{Scratch, eventually};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    sync::watch,
};

use crate::{
    judge::{Clip, clip},
    plan,
};

const PATIENCE: Duration = Duration::from_secs(60);
const SHORT: &str = "-f lavfi -i testsrc2=size=320x240:rate=25:duration=1 -c:v libx264 -pix_fmt yuv420p";
/// Takes a slow preset much longer than any test.
const LONG: &str =
    "-f lavfi -i testsrc2=size=640x360:rate=50:duration=30 -c:v libx264 -preset ultrafast -pix_fmt yuv420p";

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_flame-media"))
}

fn pool(size: usize) -> Pool {
    Pool::new(PoolConfig::new(program(), size))
}

fn probe_of(clip: &Clip) -> Request {
    Request::Probe { input: clip.path.to_str().unwrap().to_owned() }
}

/// A request that runs until it is stopped.
fn endless(clip: &Clip) -> Request {
    let probe = flame_media::probe::probe(clip.path.to_str().unwrap()).unwrap();
    let mut plan: LadderPlan = plan::of(&probe);
    plan.video.iter_mut().for_each(|rung| "slower".clone_into(&mut rung.preset));
    Request::Ladder { input: clip.path.clone(), output_dir: clip.folder.path().to_owned(), plan }
}

/// The process id of the one child of this test that works; children are named by their parent.
fn children() -> Vec<u32> {
    let own = std::process::id();
    let tasks = std::fs::read_dir(format!("/proc/{own}/task")).unwrap().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Gone, or a zombie that waits for its parent. The parent learns of its end with the end of its last thread, and the first one
/// may be a zombie before the others have ended.
fn is_gone(pid: u32) -> bool {
    let is_zombie = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
    is_zombie && std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) <= 1
}

async fn gone(pid: u32) {
    eventually(PATIENCE, || async move { if is_gone(pid) { Ok(()) } else { Err(format!("{pid} lives")) } }).await;
}

/// Starts `request`, waits for its first progress and gives the child's pid to `then`.
async fn interrupted(pool: &Pool, request: &Request, call: Call, then: impl FnOnce(u32)) -> ChildError {
    let (progress, mut seen) = watch::channel(0.0);
    let call = Call { progress: Some(progress), ..call };
    let watcher = async {
        seen.changed().await.unwrap();
        then(children()[0]);
    };
    let (result, ()) = tokio::join!(pool.run(request, call), watcher);
    result.unwrap_err()
}

#[tokio::test]
async fn a_child_is_used_again() {
    let (clip, pool) = (clip("a.mp4", SHORT), pool(2));
    for _ in 0..3 {
        let outcome = pool.run(&probe_of(&clip), Call::default()).await.unwrap();
        assert!(matches!(outcome, Outcome::Probe { probe } if probe.video.is_some()));
    }
    assert_eq!((pool.idle_pids().len(), children().len()), (1, 1));
}

#[tokio::test]
async fn a_child_that_served_its_share_is_replaced() {
    let clip = clip("a.mp4", SHORT);
    let pool = Pool::new(PoolConfig { requests_max: 2, ..PoolConfig::new(program(), 1) });
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
    let first = pool.idle_pids()[0];
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
    assert!(pool.idle_pids().is_empty());
    gone(first).await;
}

#[tokio::test]
async fn a_child_without_work_is_ended() {
    let clip = clip("a.mp4", SHORT);
    let pool = Pool::new(PoolConfig { idle_timeout: Duration::from_millis(200), ..PoolConfig::new(program(), 1) });
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
    let pid = children()[0];
    gone(pid).await;
}

#[tokio::test]
async fn never_more_than_size_at_once() {
    let (clip, pool) = (clip("a.mp4", SHORT), pool(2));
    let request = probe_of(&clip);
    let runs = (0..8).map(|_| pool.run(&request, Call::default()));
    for result in futures_util::future::join_all(runs).await {
        result.unwrap();
    }
    assert!(children().len() <= 2, "{:?}", children());
}

#[tokio::test]
async fn bad_input_is_the_inputs_fault_and_the_next_request_works() {
    let (clip, pool) = (clip("a.mp4", SHORT), pool(1));
    let bad = clip.folder.join("bad.mp4");
    std::fs::write(&bad, b"nothing at all").unwrap();
    let error =
        pool.run(&Request::Probe { input: bad.to_str().unwrap().to_owned() }, Call::default()).await.unwrap_err();
    assert!(matches!(&error, ChildError::Input { reason } if reason.contains("not a media file")), "{error:?}");
    assert!(!error.may_retry());
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
}

#[tokio::test]
async fn a_killed_child_is_a_crash() {
    let (clip, pool) = (clip("a.mp4", LONG), pool(1));
    let error = interrupted(&pool, &endless(&clip), Call::default(), |pid| signal(pid, Signal::KILL)).await;
    assert!(matches!(error, ChildError::Crashed { signal: Some(9), .. }), "{error:?}");
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_died_while_it_waited_is_nobodys_failure() {
    let (clip, pool) = (clip("a.mp4", SHORT), pool(1));
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
    let pid = pool.idle_pids()[0];
    signal(pid, Signal::KILL);
    gone(pid).await;
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_is_killed_at_the_moment_it_is_asked_is_nobodys_failure() {
    let (clip, pool) = (clip("a.mp4", SHORT), pool(1));
    for _ in 0..20 {
        pool.run(&probe_of(&clip), Call::default()).await.unwrap();
        // Its end is not waited for: the pool may take it for alive.
        signal(pool.idle_pids()[0], Signal::KILL);
    }
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
}

#[tokio::test]
async fn a_hung_child_times_out() {
    let (clip, pool) = (clip("a.mp4", SHORT), pool(1));
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
    let pid = pool.idle_pids()[0];
    signal(pid, Signal::STOP);
    let call = Call { deadline: Some(Duration::from_secs(1)), ..Call::default() };
    let error = pool.run(&probe_of(&clip), call).await.unwrap_err();
    assert!(matches!(error, ChildError::TimedOut { .. }), "{error:?}");
    gone(pid).await;
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
}

#[tokio::test]
async fn cancelling_kills() {
    let (clip, pool) = (clip("a.mp4", LONG), pool(1));
    let call = Call::default();
    let cancel = call.cancel.clone();
    let mut working = 0;
    let error = interrupted(&pool, &endless(&clip), call, |pid| {
        working = pid;
        cancel.cancel();
    })
    .await;
    assert!(matches!(error, ChildError::Cancelled), "{error:?}");
    gone(working).await;
}

#[tokio::test]
async fn a_dropped_request_kills() {
    let (clip, pool) = (clip("a.mp4", LONG), pool(1));
    let (progress, mut seen) = watch::channel(0.0);
    let request = endless(&clip);
    let pid = tokio::select! {
        result = pool.run(&request, Call { progress: Some(progress), ..Call::default() }) => panic!("{result:?}"),
        _ = seen.changed() => children()[0],
    };
    gone(pid).await;
}

#[tokio::test]
async fn progress_says_how_much_is_encoded() {
    let (clip, pool) = (clip("a.mp4", LONG), pool(1));
    let (progress, mut seen) = watch::channel(0.0);
    let request = endless(&clip);
    tokio::select! {
        result = pool.run(&request, Call { progress: Some(progress), ..Call::default() }) => panic!("{result:?}"),
        _ = seen.changed() => {}
    }
    let first = *seen.borrow();
    assert!(first > 0.0 && first < 0.5, "{first} of what takes minutes is done after its first moments");
}

#[tokio::test]
async fn a_child_whose_parent_is_gone_exits_in_the_middle_of_its_work() {
    let clip = clip("a.mp4", LONG);
    let mut command = tokio::process::Command::new(program());
    command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stdin = child.stdin.take().unwrap();
    let mut request = serde_json::to_vec(&endless(&clip)).unwrap();
    request.push(b'\n');
    stdin.write_all(&request).await.unwrap();
    loop {
        let line = lines.next_line().await.unwrap().unwrap();
        match serde_json::from_str(&line).unwrap() {
            Event::Hello { .. } => {}
            Event::Progress { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    drop(stdin);
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_child_obeys_its_limits() {
    let clip = clip("a.mp4", LONG);
    let limits = Limits { cpu_s: Some(2), ..Limits::default() };
    let pool = Pool::new(PoolConfig { limits, ..PoolConfig::new(program(), 1) });
    let error = pool.run(&endless(&clip), Call::default()).await.unwrap_err();
    assert!(matches!(error, ChildError::Crashed { signal: Some(_), .. }), "{error:?}");

    let limits = Limits { file_size_bytes: Some(100), ..Limits::default() };
    let pool = Pool::new(PoolConfig { limits, ..PoolConfig::new(program(), 1) });
    let picture = clip.folder.path().join("poster.jpg");
    let input = clip.path.to_str().unwrap().to_owned();
    let poster = Request::Poster { input, at_ms: 0, max_size: 320, output: picture.clone() };
    pool.run(&poster, Call::default()).await.unwrap_err();
    assert!(std::fs::metadata(&picture).map_or(0, |file| file.len()) <= 100);
}

#[tokio::test]
async fn a_nice_child_leaves_the_processor_to_others() {
    let clip = clip("a.mp4", SHORT);
    let limits = Limits { nice: Some(7), ..Limits::default() };
    let pool = Pool::new(PoolConfig { limits, ..PoolConfig::new(program(), 1) });
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
    let [pid] = pool.idle_pids()[..] else { panic!("{:?}", pool.idle_pids()) };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Field 19 of proc(5); the name in parentheses is the second.
    let nice = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap();
    assert_eq!(nice, "7", "{stat}");
}

#[tokio::test]
async fn a_child_that_holds_more_than_its_share_is_ended_and_the_next_request_goes_on() {
    let clip = clip("a.mp4", LONG);
    let share = |resident_bytes| {
        let limits = Limits { resident_bytes: Some(resident_bytes), ..Limits::default() };
        Pool::new(PoolConfig { limits, ..PoolConfig::new(program(), 1) })
    };
    let error = share(30 << 20).run(&endless(&clip), Call::default()).await.unwrap_err();
    assert!(matches!(error, ChildError::TooMuchMemory { .. }) && error.to_string().contains("30 MiB"), "{error:?}");
    share(1 << 30).run(&probe_of(&clip), Call::default()).await.unwrap();
    // By default each has its share of what there is, and offers itself to the kernel first.
    assert!(PoolConfig::new(program(), 2).limits.resident_bytes.is_some_and(|bytes| bytes > 100 << 20));
    let pool = pool(1);
    pool.run(&probe_of(&clip), Call::default()).await.unwrap();
    let [pid] = pool.idle_pids()[..] else { panic!("{:?}", pool.idle_pids()) };
    assert_eq!(std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim(), "1000");
}

#[tokio::test]
async fn a_program_that_is_none() {
    let clip = clip("a.mp4", SHORT);
    let pool = Pool::new(PoolConfig::new(PathBuf::from("/nowhere/flame-media"), 1));
    let error = pool.run(&probe_of(&clip), Call::default()).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { .. }), "{error:?}");

    // `cat` wants a file named worker; `yes` talks without end.
    for (program, what) in [("/bin/cat", "died"), ("/usr/bin/yes", "protocol")] {
        let pool = Pool::new(PoolConfig {
            limits: Limits { address_space_bytes: None, file_size_bytes: None, ..Limits::default() },
            ..PoolConfig::new(PathBuf::from(program), 1)
        });
        let error = pool.run(&probe_of(&clip), Call::default()).await.unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[tokio::test]
async fn the_plugin_registry_is_cached_where_the_parent_says() {
    let (clip, cache) = (clip("a.mp4", SHORT), Scratch::new("cache"));
    let config = PoolConfig { cache_dir: Some(cache.path().to_owned()), ..PoolConfig::new(program(), 1) };
    let probe = flame_media::probe::probe(clip.path.to_str().unwrap()).unwrap();
    let request =
        Request::Ladder { input: clip.path.clone(), output_dir: clip.folder.path().to_owned(), plan: plan::of(&probe) };
    let outcome = Pool::new(config).run(&request, Call::default()).await.unwrap();
    assert!(matches!(outcome, Outcome::Ladder { source_frames: 25, .. }));
    assert!(cache.join("gstreamer-registry.bin").is_file());
}
