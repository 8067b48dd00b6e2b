# SPDX-License-Identifier: Apache-2.0
# Fails twice for each call, as if something that it needs were away; at the third try it succeeds.
read -r work || true
tries="$TMPDIR/$Http_X_Call_Id"
echo "." >> "$tries"
count=$(wc -l < "$tries")
if [ "$count" -lt 3 ]; then
    echo "try $count: what I need is away" >&2
    exit 1
fi
rm "$tries"
echo "Done with ${work:-nothing} at try $count."
