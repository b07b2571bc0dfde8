//! What was said of pictures that do not say it themselves, and whether it was said of any: nothing is guessed, nothing is said in vain.

use std::path::Path;

use anyhow::{anyhow, bail, ensure};
use flame_api::quality::Form;

use crate::args::Compare;

/// Kinds of files that hold nothing but samples.
const RAW_EXTENSIONS: [&str; 2] = ["raw", "yuv"];

/// What a name says of what it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It will say itself what it is.
    Media,
    /// Samples.
    Raw,
    /// A file for each picture.
    Images,
}

/// What the reference and what is scored are, where they do not say it.
pub fn of(compare: &Compare) -> anyhow::Result<[Option<Form>; 2]> {
    let names = [named(&compare.reference), named(&compare.distorted)];
    ensure!(
        compare.raw.is_none() || names.contains(&Named::Raw),
        "--raw says what raw samples are, and neither of the two is called .yuv or .raw"
    );
    ensure!(
        compare.raw_distorted.is_none() || names[1] == Named::Raw,
        "--raw-distorted says what raw samples are, and {} is not called .yuv or .raw",
        compare.distorted
    );
    ensure!(
        compare.images.is_none() || names.contains(&Named::Images),
        "--images is for image sequences, and neither of the two has a number's place in its name, such as %04d"
    );
    let of_reference = form(names[0], compare, false)?;
    Ok([of_reference, form(names[1], compare, true)?])
}

fn named(text: &str) -> Named {
    let path = Path::new(text);
    if text.contains("://") || (path.is_file() && !is_raw(path)) {
        return Named::Media;
    }
    if is_raw(path) {
        return Named::Raw;
    }
    let has_place = path.file_name().is_some_and(|name| name.to_string_lossy().contains('%'));
    if has_place { Named::Images } else { Named::Media }
}

/// Whether a file is called as those that hold nothing but samples.
pub fn is_raw(path: &Path) -> bool {
    let extension = path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| RAW_EXTENSIONS.contains(&extension.as_str()))
}

fn form(named: Named, compare: &Compare, is_distorted: bool) -> anyhow::Result<Option<Form>> {
    let text = if is_distorted { &compare.distorted } else { &compare.reference };
    match named {
        Named::Media => Ok(None),
        Named::Raw => {
            let own = compare.raw_distorted.as_ref().filter(|_| is_distorted);
            let raw = own.or(compare.raw.as_ref());
            let raw = raw.ok_or_else(|| {
                let option = if is_distorted { "--raw or --raw-distorted" } else { "--raw" };
                anyhow!("{text} does not say what its samples are: say it with {option}, such as 1280x720@25:yuv420p")
            })?;
            Ok(Some(Form::Raw(raw.clone())))
        }
        Named::Images => match compare.images {
            Some(frame_rate) => Ok(Some(Form::Images { frame_rate })),
            None => bail!("{text} are pictures without a rate: say it with --images, such as 25 or 30000/1001"),
        },
    }
}
