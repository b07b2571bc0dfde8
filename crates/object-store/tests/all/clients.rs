//! Clients that nobody here wrote, each as it is: boto3, the AWS command line and rclone. What they send is served, and what must be refused is.

use std::path::Path;
use std::process::Output;

use flame_test_kit::repository;
use tokio::process::Command;

use crate::world::{ACCESS_KEY, BUCKET, SECRET_KEY, World, random_bytes};

const MIB: usize = 1 << 20;

/// What the program printed, if it ended well.
async fn printed(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().await.expect("the program starts");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_finds_all_that_it_asks_for_and_is_refused_what_it_must_not_have() {
    let world = World::start().await;
    let mut python = Command::new(repository().join("tools/python"));
    python.arg(repository().join("media-tests/judges/s3.py"));
    python.args([&world.server.endpoint(), ACCESS_KEY, SECRET_KEY, BUCKET]);
    assert_eq!(printed(&mut python).await.trim(), "whole");
    world.stop().await;
}

/// `aws s3` with the world's store, and nothing of the user's own.
fn aws(world: &World, secret: &str) -> Command {
    let mut aws = Command::new(repository().join("tools/python"));
    aws.env_remove("AWS_CA_BUNDLE").env_remove("AWS_PROFILE").env_remove("AWS_SESSION_TOKEN");
    aws.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    aws.env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_DEFAULT_REGION", "us-east-1");
    aws.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_MAX_ATTEMPTS", "1").env("NO_PROXY", "127.0.0.1");
    aws.args(["-m", "awscli", "--endpoint-url", &world.server.endpoint(), "s3"]);
    aws
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_s3_cp_brings_a_film_there_and_back() {
    let world = World::start().await;
    let folder = world.dir.path().join("films");
    std::fs::create_dir_all(&folder).unwrap();
    // More than a part of theirs, which is 8 MiB.
    let film = random_bytes(17 * MIB + 3);
    std::fs::write(folder.join("a film.mp4"), &film).unwrap();
    std::fs::write(folder.join("short.vtt"), "WEBVTT\n").unwrap();
    let (local, remote) = (folder.join("a film.mp4"), format!("s3://{BUCKET}/aws/a film.mp4"));
    printed(aws(&world, SECRET_KEY).args(["cp", "--only-show-errors"]).arg(&local).arg(&remote)).await;
    assert_eq!(world.store.get("aws/a film.mp4", u64::MAX).await.unwrap(), film);
    let back = world.dir.path().join("back.mp4");
    printed(aws(&world, SECRET_KEY).args(["cp", "--only-show-errors", &remote]).arg(&back)).await;
    assert_eq!(std::fs::read(&back).unwrap(), film);
    // Within the store, and what it lists.
    let moved = format!("s3://{BUCKET}/aws/moved.mp4");
    printed(aws(&world, SECRET_KEY).args(["mv", "--only-show-errors", &remote, &moved])).await;
    let folder = folder.to_str().unwrap();
    printed(aws(&world, SECRET_KEY).args(["sync", "--only-show-errors", folder, &format!("s3://{BUCKET}/aws/")])).await;
    let listed = printed(aws(&world, SECRET_KEY).args(["ls", "--recursive", &format!("s3://{BUCKET}/aws/")])).await;
    let names: Vec<_> = listed.lines().filter_map(|line| line.split_once("aws/").map(|(_, name)| name)).collect();
    assert_eq!(names, ["a film.mp4", "moved.mp4", "short.vtt"], "{listed}");
    assert_eq!(world.store.get("aws/moved.mp4", u64::MAX).await.unwrap(), film);
    printed(aws(&world, SECRET_KEY).args(["rm", "--only-show-errors", "--recursive", &format!("s3://{BUCKET}/aws/")]))
        .await;
    assert!(world.store.list("aws/", None).await.unwrap().objects.is_empty());

    let stranger = aws(&world, "another secret").args(["cp", "--recursive", folder, &moved]).output().await;
    let said = stranger.unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(!said.status.success() && text.contains("SignatureDoesNotMatch"), "{text}");
    world.stop().await;
}

/// rclone with the world's store as `:s3:`.
fn rclone(world: &World, secret: &str) -> Command {
    let mut rclone = Command::new("rclone");
    // No configuration of the user's own; certificates of others are of no use to it here.
    rclone.env_remove("AWS_CA_BUNDLE");
    rclone
        .env("RCLONE_CONFIG", "/dev/null")
        .env("RCLONE_S3_PROVIDER", "Other")
        .env("RCLONE_S3_ENDPOINT", world.server.endpoint());
    rclone.env("RCLONE_S3_ACCESS_KEY_ID", ACCESS_KEY).env("RCLONE_S3_SECRET_ACCESS_KEY", secret);
    rclone.args(["--s3-region", "us-east-1", "--s3-upload-cutoff", "6M", "--s3-chunk-size", "5M", "--retries", "1"]);
    rclone
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_brings_a_folder_there_and_back() {
    if Command::new("rclone").arg("version").output().await.is_err() {
        return flame_test_kit::loud_skip("rclone is not installed (tools/deps test)");
    }
    let world = World::start().await;
    let folder = world.dir.path().join("films");
    let write = |name: &str, size_bytes: usize| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, random_bytes(size_bytes)).unwrap();
    };
    write("short.mp4", 1000);
    write("empty", 0);
    write("season 1/épisode & co.mp4", 17 * MIB + 3);
    let (local, remote) = (folder.to_str().unwrap(), format!(":s3:{BUCKET}/films"));
    printed(rclone(&world, SECRET_KEY).args(["copy", local, &remote])).await;
    // Byte for byte, and by what the server says of them.
    printed(rclone(&world, SECRET_KEY).args(["check", "--download", local, &remote])).await;
    printed(rclone(&world, SECRET_KEY).args(["check", local, &remote])).await;
    let listed = printed(rclone(&world, SECRET_KEY).args(["lsf", "--recursive", "--files-only", &remote])).await;
    let mut names: Vec<_> = listed.lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["empty", "season 1/épisode & co.mp4", "short.mp4"]);
    // A piece of a large one.
    let large = format!("{remote}/season 1/épisode & co.mp4");
    let mut cat = rclone(&world, SECRET_KEY);
    let piece = cat.args(["cat", "--offset", "6000000", "--count", "1000", &large]).output().await.unwrap();
    let whole = std::fs::read(folder.join("season 1/épisode & co.mp4")).unwrap();
    assert_eq!(piece.stdout, whole[6_000_000..6_001_000]);
    // What has gone here goes there, and what has changed is sent.
    std::fs::remove_file(folder.join("empty")).unwrap();
    write("short.mp4", 2000);
    printed(rclone(&world, SECRET_KEY).args(["sync", local, &remote])).await;
    let back = world.dir.path().join("back");
    printed(rclone(&world, SECRET_KEY).args(["copy", &remote, back.to_str().unwrap()])).await;
    assert_eq!(files(&back), files(&folder));

    let stranger = rclone(&world, "another secret").args(["lsf", &remote]).output().await.unwrap();
    let said = String::from_utf8_lossy(&stranger.stderr);
    assert!(!stranger.status.success() && said.contains("SignatureDoesNotMatch"), "{said}");
    world.stop().await;
}

/// The files below a folder, with their bytes.
fn files(folder: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let paths = crate::consistency::files_below(folder).into_iter();
    paths.map(|path| (path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap())).collect()
}
