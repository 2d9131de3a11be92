"""The statements of leases. All times are the database's own, so that two centrals cannot disagree about them."""

from typing import Final

FIRST: Final = """
    INSERT INTO gateway_leases (gateway_id, instance, incarnation, run, machine, site, address, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8::float8 * interval '1 second')
    ON CONFLICT (gateway_id) DO NOTHING RETURNING gateway_id"""

# Whoever decides about a lease holds its row until COMMIT.
LEASE: Final = """
    SELECT *, extract(epoch FROM expires_at - clock_timestamp())::float8 AS left_s,
           extract(epoch FROM clock_timestamp() - taken_at)::float8 AS held_s
    FROM gateway_leases WHERE gateway_id = $1 FOR UPDATE"""

RENEW: Final = """
    UPDATE gateway_leases SET seen_at = clock_timestamp(), site = $3, address = $4,
        expires_at = clock_timestamp() + $5::float8 * interval '1 second'
    WHERE gateway_id = $1 AND run = $2"""

TAKE: Final = """
    UPDATE gateway_leases SET instance = $2, incarnation = $3, run = $4, machine = $5, site = $6, address = $7,
        expires_at = clock_timestamp() + $8::float8 * interval '1 second', took_over = $9::jsonb,
        taken_at = clock_timestamp(), seen_at = clock_timestamp()
    WHERE gateway_id = $1"""

# Of a sender that is not the holder: whether it was here before, whether it has shown that it was told of a holder, and
# whether two live boxes have this very installation.
STANDING: Final = """
    SELECT coalesce(bool_or(run = $2), false) AS is_known,
           coalesce(bool_or(run = $2 AND answered_at IS NOT NULL), false) AS has_answered,
           coalesce(bool_or(instance = $3 AND proven_at IS NOT NULL
               AND present_until > clock_timestamp()), false) AS is_contested
    FROM gateway_rivals WHERE gateway_id = $1"""

HOLD: Final = """
    INSERT INTO gateway_rivals AS r
        (gateway_id, instance, incarnation, run, machine, site, address, kind, answered_at, present_until)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $9 THEN clock_timestamp() END,
        clock_timestamp() + $10::float8 * interval '1 second')
    ON CONFLICT (gateway_id, run) DO UPDATE SET
        last_seen_at = clock_timestamp(), times = r.times + 1, site = excluded.site, address = excluded.address,
        kind = excluded.kind, present_until = excluded.present_until,
        answered_at = coalesce(r.answered_at, excluded.answered_at)"""

# It had the lease and lost it to another box; should it come again, it is no later start of anything.
NOTE_FORMER: Final = """
    INSERT INTO gateway_rivals (gateway_id, instance, incarnation, run, machine, site, address, kind,
        first_seen_at, last_seen_at, times)
    SELECT gateway_id, instance, incarnation, run, machine, site, address, 'former', taken_at, seen_at, 0
    FROM gateway_leases WHERE gateway_id = $1 ON CONFLICT (gateway_id, run) DO NOTHING"""

# A sender that does not say who it is, beside a holder that is heard. It is taken, and cannot be held back.
NOTE_UNNAMED: Final = """
    INSERT INTO gateway_rivals AS r
        (gateway_id, instance, incarnation, run, machine, site, address, kind, answered_at, present_until)
    SELECT gateway_id, '', 0, $2, '', '', $3, 'unnamed', clock_timestamp(),
        clock_timestamp() + $4::float8 * interval '1 second'
    FROM gateway_leases WHERE gateway_id = $1 AND expires_at > clock_timestamp()
    ON CONFLICT (gateway_id, run) DO UPDATE SET
        last_seen_at = clock_timestamp(), times = r.times + 1, address = excluded.address,
        present_until = excluded.present_until"""

KEEP_NEWEST_RIVALS: Final = """
    DELETE FROM gateway_rivals WHERE gateway_id = $1 AND run IN (
        SELECT run FROM gateway_rivals WHERE gateway_id = $1 ORDER BY last_seen_at DESC OFFSET $2)"""

# The holder has sent after it was told of this one: both live.
PROVE: Final = """
    UPDATE gateway_rivals SET proven_at = clock_timestamp()
    WHERE gateway_id = $1 AND run = $2 AND answered_at IS NOT NULL AND proven_at IS NULL RETURNING *"""

FORGET_RIVAL: Final = "DELETE FROM gateway_rivals WHERE gateway_id = $1 AND run = $2"

PRESENT_RIVAL: Final = """
    SELECT * FROM gateway_rivals
    WHERE gateway_id = $1 AND answered_at IS NOT NULL
      AND present_until > clock_timestamp()
    ORDER BY last_seen_at DESC LIMIT 1"""

# Who gets an id that is released. A sender that does not say who it is waits for none.
WAITING_RIVAL: Final = """
    SELECT * FROM gateway_rivals
    WHERE gateway_id = $1 AND answered_at IS NOT NULL AND kind <> 'unnamed'
      AND present_until > clock_timestamp()
    ORDER BY last_seen_at DESC LIMIT 1"""

REMEMBER: Final = "INSERT INTO gateway_history (gateway_id, what, body) VALUES ($1, $2, $3::jsonb)"

KEEP_NEWEST_HISTORY: Final = """
    DELETE FROM gateway_history WHERE id IN (
        SELECT id FROM gateway_history WHERE gateway_id = $1 ORDER BY id DESC OFFSET $2)"""

GIVE_UP: Final = "DELETE FROM gateway_leases WHERE gateway_id = $1"

LEASES: Final = """
    SELECT *, expires_at > clock_timestamp() AS is_fresh FROM gateway_leases
    WHERE $1::text IS NULL OR gateway_id = $1 ORDER BY gateway_id"""

RIVALS: Final = """
    SELECT *, present_until > clock_timestamp() AS is_present FROM gateway_rivals
    WHERE answered_at IS NOT NULL AND ($1::text IS NULL OR gateway_id = $1) ORDER BY gateway_id, last_seen_at DESC"""

HISTORY: Final = """
    SELECT gateway_id, at, what, body FROM gateway_history
    WHERE $1::text IS NULL OR gateway_id = $1 ORDER BY id DESC LIMIT $2"""

PRESENT_RIVALS: Final = """
    SELECT gateway_id, count(*) AS count FROM gateway_rivals
    WHERE answered_at IS NOT NULL AND present_until > clock_timestamp()
    GROUP BY gateway_id"""
