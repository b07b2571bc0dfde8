//! Paths are walked function by function, each once, to the end.

use flame_naming::Name;
use flame_naming::path::{Ended, Marker, NoMarker, PathError, Paths};
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn paths(all: &[(&str, &[&str])]) -> Result<Paths, PathError> {
    let all: Vec<_> = all
        .iter()
        .map(|(path, functions)| (*path, functions.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()))
        .collect();
    Paths::new(all.iter().map(|(path, functions)| (*path, functions.as_slice())))
}

proptest! {
    #[test]
    fn a_walk_meets_every_function_once_in_its_order_and_ends(
        functions in proptest::collection::vec("[a-z]{1,3}", 1..16),
        others in proptest::collection::vec("[a-z]{5,6}", 0..3),
    ) {
        let list: Vec<&str> = functions.iter().map(String::as_str).collect();
        let paths = paths(&[("path", &list)]).unwrap();
        let path = name("path");
        let (mut met, mut marker) = (Vec::new(), None);
        loop {
            // Who passes the marker on for something else changes nothing for that.
            for other in &others {
                prop_assert_eq!(paths.next(&name(other), marker.as_ref()), Ok(None));
            }
            let hop = paths.next(&path, marker.as_ref()).unwrap().unwrap();
            met.push(hop.function);
            // As it goes over the wire.
            let text = hop.marker.to_string();
            prop_assert_eq!(text.parse::<Marker>(), Ok(hop.marker.clone()));
            marker = Some(hop.marker);
            if hop.is_last {
                break;
            }
            prop_assert!(met.len() < 16);
        }
        prop_assert_eq!(met, functions.iter().map(|one| name(one)).collect::<Vec<_>>());
        prop_assert_eq!(paths.next(&path, marker.as_ref()), Err(Ended));
    }

    #[test]
    fn any_field_is_a_marker_or_none(text in "\\PC{0,40}|[a-z.]{1,8};index=[0-9]{1,30}", path in "[a-z]{1,3}") {
        let paths = paths(&[("path", &["a", "b"])]).unwrap();
        if let Ok(marker) = text.parse::<Marker>() {
            let _ = paths.next(&name("path"), Some(&marker));
            let _ = paths.next(&name(&path), Some(&marker));
        }
    }
}

#[test]
fn a_marker_of_another_path_begins_at_the_beginning() {
    let paths = paths(&[("one", &["a", "b"]), ("two", &["c", "d"])]).unwrap();
    let marker = Marker { path: name("one"), index: 1 };
    assert_eq!(paths.next(&name("one"), Some(&marker)).unwrap().unwrap().function, name("b"));
    assert_eq!(paths.next(&name("two"), Some(&marker)).unwrap().unwrap().function, name("c"));
}

#[test]
fn paths_that_cannot_be_are_named() {
    let long = ["a"; 17];
    assert!(matches!(paths(&[("a b", &["c"])]), Err(PathError::Name { .. })));
    assert!(matches!(paths(&[("a", &["s--c"])]), Err(PathError::Name { .. })));
    assert_eq!(paths(&[("p", &[])]), Err(PathError::Length { path: name("p"), count: 0 }));
    assert_eq!(paths(&[("p", &long)]), Err(PathError::Length { path: name("p"), count: 17 }));
    assert_eq!(paths(&[("p", &["a"]), ("p.main", &["b"])]), Err(PathError::Twice(name("p"))));
    let nested = PathError::Nested { path: Box::new(name("p")), function: Box::new(name("q")) };
    assert_eq!(paths(&[("p", &["q"]), ("q", &["p"])]), Err(nested));
    for text in ["", "media", "media;index=", "media;index=-1", "a b;index=1", ";index=1"] {
        assert_eq!(text.parse::<Marker>(), Err(NoMarker), "{text:?}");
    }
}
