//! The one integration-test binary of this package: demands against every placement that there is, and against the answer's own words.

#[path = "all/solution.rs"]
mod solution;
