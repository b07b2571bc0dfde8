//! Tests of what tests rely on.

#[path = "all/clips.rs"]
mod clips;
#[path = "all/skip.rs"]
mod skip;
#[path = "all/wait.rs"]
mod wait;

use std::collections::HashSet;

use flame_test_kit::{Scratch, ports};

#[test]
fn free_ports_differ_and_can_be_bound() {
    let ports = ports::free_tcp::<16>();
    assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 16);
    for port in ports {
        std::net::TcpListener::bind(("127.0.0.1", port)).expect("it was free a moment ago");
    }
}

#[test]
fn a_scratch_folder_goes_with_its_test_and_stays_if_it_failed() {
    let scratch = Scratch::new("gone");
    let gone = scratch.to_path_buf();
    drop(scratch);
    assert!(!gone.exists());

    let kept = std::thread::spawn(|| {
        let scratch = Scratch::new("kept");
        std::panic::panic_any(scratch.to_path_buf());
    })
    .join()
    .expect_err("the thread fails on purpose");
    let kept = kept.downcast_ref::<std::path::PathBuf>().expect("it panics with its path");
    assert!(kept.is_dir());
    std::fs::remove_dir(kept).expect("empty");
}
