//! `POST|GET /assets`, `GET|PATCH|DELETE /assets/{id}`, `GET /assets/{id}/standing`.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use flame_api::metadata::{Asset, AssetPatch, AssetQuery, DeleteQuery, NewAsset, Standing};
use flame_api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use flame_api::{Page, Problem};
use flame_service_host::precondition::revision_etag;
use flame_service_host::{Caller, Failure, FreeSpace, IfMatch, Json, Path, Query, Scope};
use uuid::Uuid;

use super::error::Error;
use crate::cursor::Position;
use crate::filter::{Filter, Sort};
use crate::highlight;
use crate::known::KnownBy;
use crate::limits::{self, Refused};
use crate::search::{self, Search, Wanted};
use crate::store::{By, Deleted, Patched, Registered, Selection, Store};

/// Items of a page of assets that were asked for by their ids, unless the caller says otherwise.
const IDS_LIMIT: u32 = 100;

/// Registers an asset. Repeating it with the same source changes nothing and answers 200.
#[utoipa::path(
    post,
    path = "/assets",
    request_body = NewAsset,
    responses(
        (status = 201, description = "Registered", body = Asset),
        (status = 200, description = "Was registered before, from the same source", body = Asset),
        (status = 409, description = "The id stands for another source, or for a deleted asset", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Json(new): Json<NewAsset>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    limits::check_asset(&caller.tenant, &new)?;
    match store.register(by(&caller), &new).await? {
        Registered::New(asset) => {
            let location = HeaderValue::from_str(&format!("assets/{}", asset.id)).expect("a UUID is visible ASCII");
            Ok((StatusCode::CREATED, AppendHeaders([(header::LOCATION, location)]), answer(asset)).into_response())
        }
        Registered::Known(asset) => Ok(answer(asset)),
        Registered::Taken => {
            let detail = format!("{} is taken by another source; choose another id", new.id);
            Err(Failure::conflict(detail).into())
        }
        Registered::Deleted => {
            let detail = format!("{} was deleted; restore it from the trash, or upload again under another id", new.id);
            Err(Failure::conflict(detail).into())
        }
    }
}

/// A page of the caller's assets: all of them, or those that a search finds and a filter wants.
#[utoipa::path(
    get,
    path = "/assets",
    params(AssetQuery),
    responses(
        (status = 200, description = "A page", body = Page<Asset>),
        (status = 400, description = "A parameter is unknown or malformed", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The search is too long, or the filter or the order is not understood", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(store): State<Store>,
    caller: Caller,
    Query(query): Query<AssetQuery>,
) -> Result<Json<Page<Asset>>, Error> {
    caller.require(Scope::Read)?;
    // Of those that are named, all.
    let limit = query.limit.unwrap_or(if query.ids.is_some() { IDS_LIMIT } else { LIMIT_DEFAULT });
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Failure::bad_request(format!("`limit` must be 1 to {LIMIT_MAX}, not {limit}")).into());
    }
    let words = query.q.as_deref().unwrap_or_default();
    if query.deleted && !words.is_empty() {
        return Err(Failure::bad_request("`q` finds nothing in the trash; leave it out to list what is there").into());
    }
    let tenant = &caller.tenant;
    let foreign = || Failure::bad_request("`cursor` must be the `next_cursor` of the page before");
    let cursor = query.cursor.as_deref();
    if let Some(by) = known_by(&query)? {
        let from = cursor.map_or(Ok(Position::START), |cursor| Position::decode(cursor).ok_or_else(foreign))?;
        return Ok(Json(store.known_by(tenant, &by, from, limit).await?));
    }
    let search = match search::parse(tenant, words)? {
        Wanted::Everything => None,
        Wanted::Nothing => return Ok(Json(Page { items: Vec::new(), next_cursor: None })),
        Wanted::Words(search) => Some(search),
    };
    let filter = filter(query.filter.as_deref())?;
    let (state, deleted) = (query.state, query.deleted);
    let selection = Selection { tenant, search: search.as_ref(), state, deleted, filter: filter.as_ref() };
    if let Some(sort) = query.sort.as_deref() {
        let sort = Sort::parse(sort).map_err(|reason| Refused { field: "sort".to_owned(), reason })?;
        let after = cursor.map(|cursor| sort.after(cursor).ok_or_else(foreign)).transpose()?;
        let page = store.sorted(selection, &sort, after.as_ref(), limit).await?;
        return Ok(Json(if query.highlight { highlighted(search, page).await } else { page }));
    }
    let from = cursor.map_or(Ok(Position::START), |cursor| Position::decode(cursor).ok_or_else(foreign))?;
    let page = match (&filter, &search) {
        (Some(_), _) => store.filtered(selection, from, limit).await?,
        (None, None) => store.list(tenant, (state, deleted), from, limit).await?,
        (None, Some(search)) => store.search(tenant, search, state, from, limit).await?,
    };
    Ok(Json(if query.highlight { highlighted(search, page).await } else { page }))
}

/// A page whose assets say where they have the words of a search: found on a thread that may take its time, for records can be long.
async fn highlighted(search: Option<Search>, mut page: Page<Asset>) -> Page<Asset> {
    let marked = tokio::task::spawn_blocking(move || {
        for asset in &mut page.items {
            asset.highlights = Some(highlight::of(search.as_ref(), asset));
        }
        page
    });
    match marked.await {
        Ok(page) => page,
        // It is cancelled only when the service is gone.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Reads the parameters `identifier`, `sha256` and `ids`, which stand alone.
fn known_by(query: &AssetQuery) -> Result<Option<KnownBy>, Error> {
    let AssetQuery { q, state, filter, sort, identifier, sha256, ids, highlight, deleted, cursor: _, limit: _ } = query;
    let by = match (identifier, sha256, ids) {
        (None, None, None) => return Ok(None),
        (Some(identifier), None, None) => KnownBy::identifier(identifier)?,
        (None, Some(sha256), None) => KnownBy::sha256(sha256)?,
        (None, None, Some(ids)) => KnownBy::ids(ids)?,
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            return Err(Failure::bad_request("`identifier`, `sha256` and `ids` do not go together").into());
        }
    };
    if *deleted || *highlight || state.is_some() || [q, filter, sort].into_iter().any(Option::is_some) {
        let detail =
            "`identifier`, `sha256` and `ids` go with no `q`, `highlight`, `state`, `filter`, `sort` and `deleted`";
        return Err(Failure::bad_request(detail).into());
    }
    Ok(Some(by))
}

/// Reads the parameter `filter`.
pub(super) fn filter(text: Option<&str>) -> Result<Option<Filter>, Refused> {
    let filter = text.filter(|text| !text.trim().is_empty()).map(Filter::parse);
    filter.transpose().map_err(|unreadable| unreadable.of("filter"))
}

/// An asset. Callers with the scope `service` see those of every tenant.
#[utoipa::path(
    get,
    path = "/assets/{id}",
    params(("id" = Uuid, Path, description = "The asset")),
    responses(
        (status = 200, description = "The asset", body = Asset,
            headers(("ETag" = String, description = "Its revision, for If-Match"))),
        (status = 404, description = "There is none, or it is another tenant's", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(State(store): State<Store>, caller: Caller, Path(id): Path<Uuid>) -> Result<Response, Error> {
    caller.require(Scope::Read)?;
    let tenant = (!caller.is_service()).then_some(caller.tenant.as_str());
    let asset = store.asset(tenant, id).await?.ok_or_else(|| missing(id))?;
    Ok(answer(asset))
}

/// Whether an id is free, or what it stands for. An id that an asset had, also one that is deleted, never becomes free: objects that lie
/// below it may be deleted at any time. Whoever may register may ask; that it is another tenant's is told only with the scope `service`.
#[utoipa::path(
    get,
    path = "/assets/{id}/standing",
    params(("id" = Uuid, Path, description = "The id")),
    responses(
        (status = 200, description = "What it stands for", body = Standing),
        (status = 404, description = "It is another tenant's", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn standing(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Json<Standing>, Error> {
    caller.require(Scope::Write)?;
    let (standing, is_own) = store.standing(&caller.tenant, id).await?;
    if is_own || caller.is_service() { Ok(Json(standing)) } else { Err(missing(id).into()) }
}

/// Edits an asset (RFC 7396 merge patch).
#[utoipa::path(
    patch,
    path = "/assets/{id}",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        ("If-Match" = String, Header, description = "The ETag that was read"),
    ),
    request_body(content = AssetPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "The asset as it is now", body = Asset),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "A value is outside of its limits", body = Problem,
            content_type = "application/problem+json"),
        (status = 428, description = "If-Match is missing", body = Problem,
            content_type = "application/problem+json"),
        (status = 507, description = "The disk is nearly full", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn patch(
    State(store): State<Store>,
    caller: Caller,
    _: FreeSpace,
    Path(id): Path<Uuid>,
    seen: IfMatch,
    Json(patch): Json<AssetPatch>,
) -> Result<Response, Error> {
    caller.require(Scope::Write)?;
    match store.patch(by(&caller), id, &seen, &patch).await? {
        Patched::Done(asset) => Ok(answer(*asset)),
        Patched::Refused(refused) => Err(refused.into()),
        Patched::Stale(revision) => Err(stale(id, revision).into()),
        Patched::Missing => Err(missing(id).into()),
    }
}

/// Deletes an asset: it goes into the trash, and from there after a while for good; with `erase` at once, also if it is in the
/// trash. Then its objects are removed from the store, also if that is away at the moment.
#[utoipa::path(
    delete,
    path = "/assets/{id}",
    params(
        ("id" = Uuid, Path, description = "The asset"),
        DeleteQuery,
        ("If-Match" = Option<String>, Header, description = "The ETag that was read, to delete only that revision"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "It has changed since", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(store): State<Store>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Query(query): Query<DeleteQuery>,
    seen: Option<IfMatch>,
) -> Result<StatusCode, Error> {
    caller.require(Scope::Write)?;
    match store.delete(by(&caller), id, seen.as_ref(), query.erase).await? {
        Deleted::Done => Ok(StatusCode::NO_CONTENT),
        Deleted::Stale(revision) => Err(stale(id, revision).into()),
        Deleted::Missing => Err(missing(id).into()),
    }
}

/// Who calls, for the history.
pub(super) fn by(caller: &Caller) -> By<'_> {
    By { tenant: &caller.tenant, subject: &caller.subject }
}

/// An asset with its `ETag`.
pub(super) fn answer(asset: Asset) -> Response {
    ([(header::ETAG, revision_etag(asset.revision))], Json(asset)).into_response()
}

pub(super) fn missing(id: Uuid) -> Failure {
    Failure::not_found(format_args!("asset {id}"))
}

pub(super) fn stale(id: Uuid, revision: u64) -> Failure {
    Failure::precondition_failed(format!("asset {id} is at revision {revision} now; read it and try again"))
}
