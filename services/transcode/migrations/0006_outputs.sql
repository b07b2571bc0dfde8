-- What was made before, by what it was made of (src/reuse.rs), and in which version it lies: whoever makes the same again takes
-- it from there. The objects are the version's: a row keeps none of them, and one whose objects are gone is found out when it is
-- looked for.
CREATE TABLE outputs (
    tenant     TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    -- What the keys of its objects begin with.
    prefix     TEXT    NOT NULL,
    what       TEXT    NOT NULL CHECK (json_valid(what)),
    -- When it was made, or taken again.
    made_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant, key, prefix)
) STRICT, WITHOUT ROWID;

-- The oldest of a tenant, and the oldest of all, are forgotten first.
CREATE INDEX outputs_of_tenant ON outputs (tenant, made_at_us);
CREATE INDEX outputs_by_age ON outputs (made_at_us);
