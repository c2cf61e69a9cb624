"""The ground floor of compiled code: the kernel cache, threads, sorting and JSON scanning."""
