//! The decisions of service routing against simple models of them.

#[path = "all/name.rs"]
mod name;
#[path = "all/table.rs"]
mod table;
#[path = "all/target.rs"]
mod target;
