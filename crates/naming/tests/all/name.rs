//! Names are read and printed.

use flame_naming::{Destination, Domain, Name, NameError};
use proptest::prelude::*;

/// A label without two hyphens in a row.
pub fn label() -> impl Strategy<Value = String> {
    "[a-z0-9]([a-z0-9]{0,8}|-[a-z0-9]{1,6}){0,3}"
}

proptest! {
    #[test]
    fn what_is_printed_is_read_as_the_same(function in label(), instance in label(), tenant in label(), site in proptest::option::of(label())) {
        let pin = site.as_ref().map_or(String::new(), |site| format!("{site}--"));
        let text = format!("{pin}{function}.{instance}.{tenant}");
        let read: Destination = text.parse().unwrap();
        prop_assert_eq!(read.name.function().as_str(), &function);
        prop_assert_eq!(read.name.instance().as_str(), &instance);
        prop_assert_eq!(read.name.tenant().as_str(), &tenant);
        prop_assert_eq!(read.site.as_ref().map(|site| site.as_str().to_owned()), site);
        prop_assert_eq!(read.to_string().parse::<Destination>().unwrap(), read.clone());
        // The site is no part of the name.
        prop_assert_eq!(&format!("{function}.{instance}.{tenant}").parse::<Name>().unwrap(), &read.name);
        prop_assert_eq!(flame_naming::target::short(&read.name).parse::<Name>().unwrap(), read.name);
    }

    #[test]
    fn letters_have_no_case_and_the_domain_may_be_left_out(function in label(), instance in label()) {
        let domain: Domain = "flame.example".parse().unwrap();
        let plain: Destination = format!("{function}.{instance}").parse().unwrap();
        let whole = format!("{function}.{instance}.FLAME.example");
        prop_assert_eq!(domain.destination(&whole.to_uppercase()).unwrap(), plain.clone());
        prop_assert_eq!(domain.destination(&format!("{function}.{instance}")).unwrap(), plain);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        if let Ok(read) = text.parse::<Destination>() {
            let printed = read.to_string();
            prop_assert!(printed.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte)));
            prop_assert_eq!(printed.parse::<Destination>().unwrap(), read);
        }
    }
}

#[test]
fn defaults_are_left_out_and_filled_in() {
    for (text, printed, short) in [
        ("metadata", "metadata.main", "metadata"),
        ("metadata.main.default", "metadata.main", "metadata"),
        ("metadata.b", "metadata.b", "metadata.b"),
        ("metadata.main.acme", "metadata.main.acme", "metadata.main.acme"),
        ("a.b.main", "a.b.main", "a.b.main"),
    ] {
        let name: Name = text.parse().unwrap();
        assert_eq!((name.to_string().as_str(), flame_naming::target::short(&name).as_str()), (printed, short));
    }
}

#[test]
fn what_is_no_name_says_why() {
    let error = |text: &str| text.parse::<Name>().unwrap_err();
    for text in ["", ".", "a.", ".a", "-a", "a-", "a_b", "a b", "ä", "a..b", "--a", "a--", &"a".repeat(64)] {
        assert!(matches!(error(text), NameError::Label(_)), "{text}");
    }
    assert!(matches!(error("a.b.c.d"), NameError::Parts(_)));
    assert!(matches!(error("london--a"), NameError::Pinned(_)));
    assert!(matches!(error("x--y--z"), NameError::Pin(_)));
}
