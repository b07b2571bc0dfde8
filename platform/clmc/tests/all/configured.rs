//! The program's configuration as an operator gives it: a file, over which the environment wins.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flame_test_kit::{Scratch, eventually, ports};

/// A port that no test can open: the address belongs to documentation (RFC 5737).
const NOT_HERE: &str = "192.0.2.1:7001";

fn program(folder: &Path, file: &str) -> Command {
    let config = folder.join("clmc.toml");
    std::fs::write(&config, file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_flame-clmc"));
    command.arg(config).env("FLAME_CLMC__STORE__FOLDER", folder.join("store"));
    command
}

/// What it says when it does not start.
fn refusal(mut command: Command) -> String {
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stderr).to_lowercase()
}

#[tokio::test]
async fn the_environment_wins_over_the_file_and_wrong_keys_of_either_are_named() {
    let folder = Scratch::new("clmc-configured");
    let file = format!("[host]\nlisten = \"{NOT_HERE}\"\n");
    let alone = refusal(program(folder.path(), &file));
    assert!(alone.contains(NOT_HERE), "the file is read: {alone}");

    let [port] = ports::free_tcp();
    let mut command = program(folder.path(), &file);
    command.env("FLAME_CLMC__HOST__LISTEN", format!("127.0.0.1:{port}"));
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    eventually(Duration::from_secs(20), || async {
        reqwest::get(format!("http://127.0.0.1:{port}/health/ready"))
            .await
            .and_then(reqwest::Response::error_for_status)
    })
    .await;
    child.kill().await.unwrap();

    let mistyped = refusal(program(folder.path(), "[host]\nlistn = \"127.0.0.1:0\"\n"));
    assert!(mistyped.contains("listn") && mistyped.contains("clmc.toml"), "{mistyped}");
    let mut command = program(folder.path(), "");
    command.env("FLAME_CLMC__HOST__LISTN", "127.0.0.1:0");
    let mistyped = refusal(command);
    assert!(mistyped.contains("listn") && mistyped.contains("flame_clmc__"), "{mistyped}");
}
