"""What an operator asks of a site's jobs, from any process: the commands ``flcore ps``, ``logs``, ``stop``, …"""
