//! Who the parts are to each other: certificates of a local authority, and the one-time tokens that get one.
//!
//! A certificate says at which site its holder is, what it is (a router, a service), and which names it may stand
//! behind. The connection is the identity: nothing here reads a header. Private keys are made where they are used and
//! never leave; what leaves is a request to sign. Nobody here opens a socket, and nothing here is about viewers.
//!
//! Reading order: [`standing`] (what a certificate says) and [`invitation`] (what a join token allows) are pure;
//! [`issuer`] signs and [`identity`] is signed for, each on a folder; [`tls`] makes rustls configurations of both,
//! whose certificate is replaced while they are used.

pub mod file;
pub mod identity;
pub mod invitation;
pub mod issuer;
#[doc(hidden)]
pub mod parsers;
pub mod standing;
pub mod tls;

pub use file::{FileError, replace};
pub use identity::{Identity, IdentityError, Key};
pub use invitation::{Fingerprint, Invitation, JoinToken, Refusal, Wanted};
pub use issuer::{Issued, Issuer, IssuerError};
pub use standing::{Peer, Reach, Role, Standing};
pub use tls::Current;
