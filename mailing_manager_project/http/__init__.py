"""What holds for every answer, whoever gives it: ids, headers, sizes, errors outside of views."""
