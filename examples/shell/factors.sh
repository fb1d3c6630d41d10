#!/bin/sh
# One task: the prime factors of 1,000,000,000 + index, by trial division.
#
# The payload comes on standard input, the index in JOBRUN_INDEX too. Standard output is the result, as JSON or text.
# Exit status 0 is success, 75 asks for a retry, any other is a failed attempt, with standard error as the reason.
set -eu

number=$((1000000000 + JOBRUN_INDEX))
rest=$number
divisor=2
factors=
while [ $((divisor * divisor)) -le "$rest" ]; do
    if [ $((rest % divisor)) -eq 0 ]; then
        factors="$factors$divisor, "
        rest=$((rest / divisor))
    else
        divisor=$((divisor + 1))
    fi
done
echo "{\"number\": $number, \"factors\": [$factors$rest]}"
