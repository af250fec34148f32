"""What an operator looks at: ``flcore report``, a page in a file, and ``flcore serve``, the same page, live."""
