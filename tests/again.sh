#!/usr/bin/env bash
# usage: tests/again.sh cargo test ARGUMENTS
#
# Runs the tests. Of those that failed, up to FEW are run once more, alone; what fails again fails the run.
# A test that passes only then is a fault all the same, of the product or of the test: it is printed last,
# so that nobody overlooks it. It does not hold up work that has nothing to do with it.
set -uo pipefail
FEW=3

log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" 2>&1 | tee "$log"
code=${PIPESTATUS[0]}
[ "$code" = 0 ] && exit 0

# The last list of each target: "failures:" and the names, four blanks before each.
mapfile -t names < <(awk '/^failures:$/ {listed = 1; next} listed && /^    [^ ]+$/ {print $1; next} {listed = 0}' "$log" | sort -u)
mapfile -t targets < <(sed -n -e 's/^    `\(-p .*\)`$/\1/p' -e 's/^error: test failed, to rerun pass `\(-p .*\)`$/\1/p' "$log" | sort -u)
if [ "${#targets[@]}" = 0 ] || [ "${#names[@]}" = 0 ] || [ "${#names[@]}" -gt "$FEW" ]; then
    exit "$code"
fi

mine=()
for argument in "$@"; do
    [ "$argument" = -- ] && mine=(--) && continue
    [ "${#mine[@]}" = 0 ] || mine+=("$argument")
done
[ "${#mine[@]}" = 0 ] && mine=(--)
for target in "${targets[@]}"; do
    echo "Once more, alone: ${names[*]} ($target)"
    # shellcheck disable=SC2086 # a target is several words
    cargo test $target "${mine[@]}" --exact "${names[@]}" 2>&1 | tee "$log" || exit "$code"
    # A target that ended without naming a test was broken off, not failed.
    grep -q '^running [1-9]' "$log" || exit "$code"
done
echo
echo "PASSED ONLY WHEN RUN AGAIN, which is a fault to be mended: ${names[*]}"
