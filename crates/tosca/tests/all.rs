//! Templates as people write them: right ones, wrong ones, and what others say of ours.

#[path = "all/bounds.rs"]
mod bounds;
#[path = "all/judge.rs"]
mod judge;
#[path = "all/places.rs"]
mod places;
#[path = "all/template.rs"]
mod template;

use std::collections::BTreeMap;

use flame_tosca::template::Given;
use flame_tosca::{DocumentError, Template};

/// Reads a template that is given nothing.
pub fn read(text: &str) -> Result<Template, Vec<DocumentError>> {
    read_with(text, &[], &|_| None)
}

/// Reads a template.
pub fn read_with(
    text: &str,
    inputs: &[(&str, &str)],
    import: &dyn Fn(&str) -> Option<String>,
) -> Result<Template, Vec<DocumentError>> {
    let inputs: BTreeMap<String, String> =
        inputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    flame_tosca::read(text, Given { inputs: &inputs, instance: None, import })
}

/// What is wrong with a template, one line each.
pub fn complaints(text: &str) -> Vec<String> {
    read(text).expect_err("it is wrong").iter().map(ToString::to_string).collect()
}

/// A template of this repository.
pub fn shipped(path: &str) -> String {
    let path = flame_test_kit::repository().join("templates/services").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
