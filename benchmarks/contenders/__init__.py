"""Each contender, used as its documentation recommends for throughput."""
