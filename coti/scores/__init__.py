"""S_aes, S_con and S_int (Eq. 7 to 12), and the scores that they are compared with."""
