//! What is known of picture quality without decoding anything: values in, values out.
//!
//! It holds the definitions of the metrics that need no library (PSNR, SSIM, XPSNR), how the scores of many frames become
//! one, and how a result is written down. It opens no file and links no media library; `flame-media` brings the
//! pictures, and what only libvmaf can compute.
//!
//! In reading order: samples of a picture ([`plane`]), what is computed of two ([`psnr`], [`ssim`], [`xpsnr`]), what each metric
//! gives ([`columns`]), which frames belong together ([`signature`], [`alignment`], `stretch`), many frames into one number
//! ([`pooling`]), what is found without a reference ([`inspect`]) and what its figures are called ([`figures`]), what is asked of all of
//! it ([`gate`]), what a suite asks of many ([`suite`]) and of several machines ([`shard`]), what encoders need for the same quality
//! ([`curve`]), whether it still measures what it did ([`baseline`]), whether playlists and segments keep their rules
//! ([`conformance`]), and the documents ([`json`], [`csv`], [`junit`], [`html`]).

pub mod alignment;
pub mod baseline;
pub mod columns;
pub mod conformance;
pub mod csv;
pub mod curve;
pub mod figures;
pub mod gate;
pub mod html;
pub mod inspect;
pub mod json;
pub mod junit;
pub mod plane;
pub mod pooling;
pub mod psnr;
pub mod shard;
pub mod signature;
pub mod ssim;
mod stretch;
pub mod suite;
pub mod xpsnr;
