#!/usr/bin/env bash
# The table of a run on Kubernetes: a line for each operation, a column for each family. `table.sh FILE`, where FILE has
# lines of operation, family and what came of it, with tabs between. Of several on one family, failures are shown first.
set -euo pipefail
[ $# = 1 ] && [ -e "$1" ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
awk -F '\t' '
    !($1 in seen) { seen[$1] = 1; rows[++count] = $1 }
    !($2 in known) { known[$2] = 1; columns[++width] = $2 }
    !(($1, $2) in cell) || $3 == "failed" { cell[$1, $2] = $3 }
    END {
        for (i = 1; i < width; i++) for (j = i + 1; j <= width; j++)
            if (columns[j] < columns[i]) { swap = columns[i]; columns[i] = columns[j]; columns[j] = swap }
        line = sprintf("%-40s", "")
        for (j = 1; j <= width; j++) line = line sprintf(" | %-16s", columns[j])
        print line
        for (i = 1; i <= count; i++) {
            line = sprintf("%-40s", rows[i])
            for (j = 1; j <= width; j++) line = line sprintf(" | %-16s", ((rows[i], columns[j]) in cell) ? cell[rows[i], columns[j]] : "-")
            print line
        }
    }' "$1"
