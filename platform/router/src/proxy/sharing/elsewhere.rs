//! Where nobody answers at the site that was asked for all: one of those who waited searches on, the others wait for what it finds.
//!
//! Each of them searching by itself would ask every other surrogate as often as there are clients, just when one of them has failed.
//! What is found goes to all if it may be shared, and so does a last word that nobody has it, if that says for whom it is. Where it says
//! nothing it may depend on any field of the request: those who asked in the very same words are told it, and of the others one searches
//! for each way to ask. Anything else is for the one who searched, and the others search by themselves.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use flame_naming::Moment;
use flame_naming::identity::{Identity, Sharing, Split};

use super::super::fault::Fault;
use super::super::{Outgoing, Parties};
use super::status::Way;
use super::{TURNS, enter, is_ended, is_shared, judged, read, silent, unanswered};
use crate::multicast::head::{self, Length};
use crate::multicast::{self, Begun, Fields, Lead, Multicast, Nothing, Place, Searched, Shared, Sought};

/// Longest body with which a search fails for all.
const LAST_WORD_MAX_BYTES: u64 = 64 << 10;

impl Parties {
    /// Searches on where the outcome was `first`, once for all of this edge who wait for the same. The request came at `began`; whose
    /// own time is over is told so.
    pub(super) async fn search_for_all(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        sought: Sought,
        (first, began): (Result<Response, Fault>, Moment),
    ) -> Result<Response, Fault> {
        let (_, identity) = &sought;
        if multicast.learned().is_long(identity, Instant::now()) {
            return self.search_on(outgoing, first, began).await;
        }
        let prefix = outgoing.forward.mount.prefix().to_owned();
        let mut searched = Searched { prefix, sought, alike: None };
        let fields = Fields::of(&outgoing.head.headers);
        for _ in 0..TURNS {
            match multicast.search(searched.clone()) {
                Place::Lead(lead) => return self.search_first(multicast, outgoing, lead, (first, began)).await,
                Place::Follow(mut follow) => {
                    let deadline = outgoing.budget.deadline;
                    let told = tokio::select! {
                        told = follow.shared() => told,
                        _ = outgoing.offer.stalled(deadline) => return Err(silent(outgoing)),
                    };
                    let is_for_others =
                        |shared: &Arc<Shared>| shared.alike.as_ref().is_some_and(|alike| *alike != fields);
                    let told = match told {
                        Ok(shared) if is_for_others(&shared) => Err(Nothing::Refused),
                        Ok(shared) => enter(shared, follow),
                        Err(nothing) => Err(nothing),
                    };
                    match told {
                        Ok(begun) => return Ok(self.found(begun, Way::COLLAPSED)),
                        Err(Nothing::Alone) => break,
                        Err(Nothing::Failed) => return first.map_err(|_| unanswered(outgoing)),
                        Err(Nothing::Refused) if searched.alike.is_some() => {
                            return first.map_err(|_| unanswered(outgoing));
                        }
                        Err(Nothing::Refused) => searched.alike = Some(fields.clone()),
                        Err(Nothing::Leaderless) => {}
                    }
                }
            }
        }
        self.search_on(outgoing, first, began).await
    }

    async fn search_first(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        lead: Lead<Searched, Arc<Shared>>,
        (first, began): (Result<Response, Fault>, Moment),
    ) -> Result<Response, Fault> {
        let found = match self.search_on(outgoing, first, began).await {
            Ok(found) => found,
            // Its own time is over; those who came later may have some left, and one of them searches.
            Err(fault @ Fault::Silent { .. }) => return Err(fault),
            Err(fault) => {
                lead.failed();
                return Err(fault);
            }
        };
        let (_, identity) = lead.key().sought.clone();
        let (status, headers) = (found.status(), found.headers());
        let for_whom = if is_shared(multicast, &identity, status, headers) {
            Some(Sharing::All)
        } else {
            last_word(&identity, status, headers)
        };
        let for_whom = for_whom.filter(|_| is_ended(found.extensions()));
        let room = for_whom.as_ref().and_then(|_| multicast.memory().room_for(headers));
        let (Some(for_whom), Some(room)) = (for_whom, room) else {
            if status.is_server_error() {
                lead.refused()
            } else {
                lead.alone()
            }
            return Ok(found);
        };
        let alike = (for_whom != Sharing::All).then(|| Fields::of(&outgoing.head.headers));
        let (parts, body) = found.into_parts();
        let head = multicast::head::Head::from(&parts);
        Ok(self.found(multicast.spread(identity, (head, alike), body, Some(lead), room), Way::ALONE))
    }

    /// What was found, as one of those sees it who waited.
    fn found(&self, begun: Begun, way: Way) -> Response {
        let mut answer = read(begun);
        self.say_way(answer.headers_mut(), way.searched());
        answer
    }
}

/// For whom an answer is that says that nobody has it, or nobody can give it: each of those would be told the same after as long a search.
/// `None` where it depends on who asks, or is long.
fn last_word(identity: &Identity, status: StatusCode, headers: &HeaderMap) -> Option<Sharing> {
    let is_final = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::RANGE_NOT_SATISFIABLE);
    let is_short = match head::length(headers) {
        Some(Length::Stated(bytes)) => bytes <= LAST_WORD_MAX_BYTES,
        Some(Length::Unsaid) => true,
        None => false,
    };
    let is_last = (is_final || status.is_server_error()) && is_short;
    let for_whom = is_last.then(|| judged(identity, status, headers))?;
    matches!(for_whom, Sharing::All | Sharing::Split(Split::Unsaid)).then_some(for_whom)
}
