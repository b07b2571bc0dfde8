//! Media of encrypted assets: the seal that a URL names, and what is made because of it.
//!
//! A version's name in a URL may end in a seal's tag (`names::sealed`). Where an asset is encrypted, nothing of its tracks is
//! given without one; what has one is given whatever the setting has become, so that who plays goes on.

use flame_service_host::FailureResult;

use super::{State, error};
use crate::derived::{Order, Product, Sealing};
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

/// What has to be made; `None` where the stored octets are the answer.
pub(super) fn order(file: File, product: Option<Product>, seal: Option<Seal>) -> Option<Order> {
    let sequence = match file {
        File::Segment(number) | File::Ts(number) | File::Keyframe(number) | File::Part(number, _) => number,
        File::Init(number) => number.into(),
    };
    let sealing = seal.map(|seal| Sealing { seal, sequence });
    (product.is_some() || sealing.is_some()).then(|| Order { product: product.unwrap_or(Product::Whole), sealing })
}
