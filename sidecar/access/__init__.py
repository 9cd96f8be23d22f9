"""What every frontend asks of who comes in: the certificate that is shown, the password that is wanted."""
