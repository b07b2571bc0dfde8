//! Whose turn it is: of the tenants that have work, the one that has least under way; of those, the one that was served longest ago.
//!
//! So a tenant with a thousand jobs and one with a single one each get a place of two, and take turns where there is one. What is
//! urgent is so among the jobs of its own tenant: nobody gets ahead of others by calling his own work urgent.

use super::Table;
use super::standing::COLUMNS;

/// The statement that finds the next job of all that may be worked on now (`?1`, microseconds since the Unix epoch).
///
/// It costs some look-ups for each tenant that has work, however many jobs wait: tenants are walked by the index of what waits, and
/// what counts of each one stands in an index too. (SQLite would count by the index that holds all
/// jobs of the tenant: so this one is named.)
pub(super) fn next(table: &Table) -> String {
    let Table { phase, to_work, order, .. } = table;
    let waits = format!("lease_owner IS NULL AND {to_work}");
    format!(
        "WITH RECURSIVE waiting (tenant) AS (\
           SELECT min(tenant) FROM jobs WHERE {waits} \
           UNION ALL \
           SELECT (SELECT min(tenant) FROM jobs WHERE {waits} AND tenant > waiting.tenant) \
             FROM waiting WHERE waiting.tenant IS NOT NULL) \
         SELECT {phase} AS phase, {COLUMNS} FROM jobs WHERE seq = (\
           SELECT head FROM (\
             SELECT (SELECT seq FROM jobs WHERE {waits} AND tenant = waiting.tenant AND due_at_us <= ?1 ORDER BY {order} LIMIT 1) AS head, \
                    (SELECT count(*) FROM jobs INDEXED BY jobs_of_tenant_held WHERE tenant = waiting.tenant AND lease_owner IS NOT NULL) AS under_way, \
                    (SELECT max(started_at_us) FROM jobs WHERE tenant = waiting.tenant) AS served_at_us \
               FROM waiting WHERE waiting.tenant IS NOT NULL) \
           WHERE head IS NOT NULL ORDER BY under_way, served_at_us NULLS FIRST, head LIMIT 1)"
    )
}
