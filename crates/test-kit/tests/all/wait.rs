//! `eventually` waits as long as it must and says what was missing.

use std::time::Duration;

use flame_test_kit::eventually;

#[tokio::test]
async fn returns_what_the_condition_gives() {
    let mut looks = 0;
    let found = eventually(Duration::from_secs(60), || {
        looks += 1;
        let look = looks;
        async move { if look < 5 { Err("more") } else { Ok(look) } }
    })
    .await;
    assert_eq!(found, 5);
}

#[tokio::test]
#[should_panic(expected = "3 of 4 tracks")]
async fn says_what_was_still_missing() {
    eventually(Duration::from_millis(50), || async { Err::<(), _>("3 of 4 tracks") }).await;
}

#[tokio::test]
#[should_panic(expected = "a look hung")]
async fn does_not_hang_with_its_condition() {
    eventually(Duration::from_millis(50), std::future::pending::<Result<(), &str>>).await;
}
