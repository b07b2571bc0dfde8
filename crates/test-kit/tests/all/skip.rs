//! A skip is counted. The environment is a process's own, so the skip happens in a child: this test again.

use std::process::Command;

use flame_test_kit::{Scratch, loud_skip};

#[test]
fn a_skip_is_a_line_in_the_list() {
    if std::env::var_os("SKIP_NOW").is_some() {
        loud_skip("no such camera here");
        return;
    }
    let scratch = Scratch::new("skips");
    let list = scratch.join("skips.txt");
    for _ in 0..2 {
        let ran = Command::new(std::env::current_exe().expect("a running test has a path"))
            .args(["skip::a_skip_is_a_line_in_the_list", "--exact", "--nocapture"])
            .envs([("SKIP_NOW", "1".as_ref()), ("FLAME_SKIPS", list.as_os_str())])
            .output()
            .expect("the test runs itself");
        assert!(ran.status.success());
        assert!(String::from_utf8_lossy(&ran.stderr).contains("SKIPPED at"));
    }
    let lines = std::fs::read_to_string(&list).expect("the list was written");
    assert_eq!(lines.lines().filter(|line| line.ends_with("no such camera here")).count(), 2, "{lines}");
}
