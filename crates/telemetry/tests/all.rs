//! Measurements as those who report and those who collect meet them: what is written is read as it was, and what cannot be
//! sent costs room and nothing else.

#[path = "all/line.rs"]
mod line;
#[path = "all/machine.rs"]
mod machine;
#[path = "all/reporter.rs"]
mod reporter;
#[path = "all/states.rs"]
mod states;
