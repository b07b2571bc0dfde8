//! Media of encrypted assets: the seal that a URL names, and what is made because of it.
//!
//! A version's name in a URL may end in a seal's tag (`names::sealed`). Where an asset is encrypted, nothing of its tracks is
//! given without one; what has one is given whatever the setting has become, so that who plays goes on.

use flame_service_host::FailureResult;

use super::{State, error};
use crate::derived::{Order, Product, Sealing};
use crate::live::Recording;
use crate::names::{self, File, SealTag, TrackName};
use crate::seals::Seal;

/// A track, and the tag of its version's seal.
pub(super) fn named(asset: &str, version: &str, track: &str) -> FailureResult<(TrackName, Option<SealTag>)> {
    let (version, tag) = names::sealed(version).map_err(error::of_name)?;
    Ok((TrackName::parse(asset, version, track).map_err(error::of_name)?, tag))
}

/// The seal of this tag.
pub(super) async fn seal(state: &State, name: &TrackName, tag: Option<SealTag>) -> FailureResult<Option<Seal>> {
    let found = state.presentations.for_media(name.asset).await.map_err(|error| error::of_catalogue(&error))?;
    let presentation = found.ok_or_else(|| error::missing(format_args!("asset {}", name.asset)))?;
    let Some(tag) = tag else {
        return if presentation.encryption.is_none() { Ok(None) } else { Err(error::encrypted(name.asset)) };
    };
    let seal = state.seals.tagged(name.asset, &presentation, tag).await.map_err(|error| error::of_seal(&error))?;
    let seal =
        seal.ok_or_else(|| error::missing(format_args!("version {}-{tag} of asset {}", name.version, name.asset)))?;
    Ok(Some(seal))
}

/// What a recording goes out with by a URL with this tag, of which `asked` is the seal. One that was encrypted while it was live says so itself,
/// whatever the catalogue says, and has no other; one that was not goes out as the catalogue says, like any asset.
pub(super) fn of_recording(
    recording: &Recording,
    name: &TrackName,
    tag: Option<SealTag>,
    asked: Option<Seal>,
) -> FailureResult<Option<Seal>> {
    match &recording.seal {
        Some(own) => fits(Some(own), name, tag).map(|()| Some(own.clone())),
        None => Ok(asked),
    }
}

/// Whether what is live can be had by a URL with this tag: a channel that is encrypted has no other, and one that is not has none.
pub(super) fn fits(seal: Option<&Seal>, name: &TrackName, tag: Option<SealTag>) -> FailureResult<()> {
    match (seal.map(Seal::tag), tag) {
        (None, None) => Ok(()),
        (Some(seal), Some(tag)) if seal == tag => Ok(()),
        (Some(_), None) => Err(error::encrypted(name.asset)),
        (Some(_) | None, Some(tag)) => {
            Err(error::missing(format_args!("version {}-{tag} of asset {}", name.version, name.asset)))
        }
    }
}

/// The number of a file in its playlist.
pub(super) fn sequence(file: File) -> u64 {
    match file {
        File::Segment(number) | File::Ts(number) | File::Keyframe(number) | File::Part(number, _) => number,
        File::Init(number) => number.into(),
    }
}

/// What has to be made; `None` where the stored octets are the answer.
pub(super) fn order(file: File, product: Option<Product>, seal: Option<Seal>) -> Option<Order> {
    let sealing = seal.map(|seal| Sealing { seal, sequence: sequence(file) });
    (product.is_some() || sealing.is_some()).then(|| Order { product: product.unwrap_or(Product::Whole), sealing })
}
