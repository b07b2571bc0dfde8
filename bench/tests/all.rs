//! The program itself, where it needs no peer. Numbers are not tested: those of a busy machine prove nothing.

use std::process::Command;

use flame_test_kit::Scratch;

fn bench(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_flame-bench")).args(arguments).output().expect("the program starts");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn wrong_usage_is_said() {
    for wrong in [&["nonsense"][..], &["up", "--rounds", "0"], &["upload", "--mib", "5000"], &[]] {
        let (status, text) = bench(wrong);
        assert_eq!(status, Some(2), "{wrong:?}: {text}");
    }
}

#[test]
fn one_round_of_up_is_measured_and_leaves_nothing() {
    assert!(flame_test_kit::programs::program("flame").is_file());
    let folder = Scratch::new("bench");
    let (status, text) = bench(&["up", "--rounds", "1", "--dir", &folder.display().to_string()]);
    // Whether the bounds hold is not for a debug build on a busy machine to say.
    assert!(matches!(status, Some(0 | 1)), "{status:?}: {text}");
    assert!(text.contains("## up") && text.contains("| resident at rest | MiB |"), "{text}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the folder is empty again");
}
