-- SPDX-License-Identifier: GPL-2.0-or-later
-- All of it is derived from the logs of runs. A change of this file needs another VERSION in database.py.
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL UNIQUE,       -- as the file system has it, which may be no text
    stamp TEXT NOT NULL,             -- of the log when it was read
    state TEXT NOT NULL, why TEXT NOT NULL, kind TEXT NOT NULL,
    verdict TEXT NOT NULL, exit INTEGER,
    title TEXT NOT NULL, base TEXT NOT NULL,
    started REAL NOT NULL, seconds REAL NOT NULL,
    boots INTEGER NOT NULL, boots_lost INTEGER NOT NULL
);
CREATE TABLE tally (                 -- `what`: `workload` or `test`
    run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    what TEXT NOT NULL, arm TEXT NOT NULL, key TEXT NOT NULL, kernel TEXT NOT NULL, board TEXT NOT NULL,
    name TEXT NOT NULL,
    judged INTEGER NOT NULL, faulty INTEGER NOT NULL, lost INTEGER NOT NULL
);
CREATE INDEX tally_run ON tally (run);
CREATE TABLE sighting (
    run INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    arm TEXT NOT NULL, key TEXT NOT NULL, kernel TEXT NOT NULL, board TEXT NOT NULL,
    workload TEXT NOT NULL, signature TEXT NOT NULL, kind TEXT NOT NULL, headline TEXT NOT NULL,
    times INTEGER NOT NULL
);
CREATE INDEX sighting_run ON sighting (run);
