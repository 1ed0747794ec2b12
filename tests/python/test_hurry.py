"""The switch interval of the program while a client waits for the GIL (src/python/hurry.c).

Run by ./run with test_dump.py, whose extension has the functions. The GIL is ours in all of it, so that somebody holds it when hurry
begins, as it is when a client waits.
"""
import os
import sys
import threading
import unittest
import warnings

import dumphost

OURS, USUAL, LIMIT = 53e-6, 0.005, 0.020


def begin():
    dumphost.hurry_expect()
    return dumphost.hurry_begin()


class Hurry(unittest.TestCase):
    def setUp(self):
        sys.setswitchinterval(USUAL)

    def tearDown(self):
        dumphost.hurry_exit(False)
        dumphost.hurry_hold(False)
        dumphost.hurry_tick()
        sys.setswitchinterval(USUAL)

    def interval(self, seconds):
        self.assertAlmostEqual(sys.getswitchinterval(), seconds, places=9)

    def test_it_is_short_from_begin_to_end(self):
        token = begin()
        self.interval(OURS)
        dumphost.hurry_end(token)
        self.interval(USUAL)
        self.assertIsNone(dumphost.hurry_due())

    def test_nobody_hurries_without_a_request(self):
        self.assertEqual(dumphost.hurry_begin(), 0)
        self.interval(USUAL)
        token = begin()
        self.assertEqual(dumphost.hurry_begin(), 0, "one request, one waiter")
        dumphost.hurry_end(token)

    def test_a_request_is_due_before_its_waiter_has_come(self):
        dumphost.hurry_expect()
        self.assertLessEqual(dumphost.hurry_due(), LIMIT)
        self.interval(USUAL)
        dumphost.hurry_tick()
        self.assertIsNone(dumphost.hurry_due())
        self.assertEqual(dumphost.hurry_begin(), 0, "it has come too late")

    def test_the_last_of_several_gives_it_back(self):
        tokens = [begin() for _ in range(3)]
        for token in tokens:
            self.interval(OURS)
            dumphost.hurry_end(token)
        self.interval(USUAL)

    def test_who_dies_in_the_wait_does_not_keep_it(self):
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        self.interval(OURS)
        dumphost.hurry_tick(1)
        self.interval(OURS)
        dumphost.hurry_tick()
        self.interval(USUAL)
        token = begin()
        self.interval(OURS)
        dumphost.hurry_end(token)
        self.interval(USUAL)

    def test_an_exit_keeps_it_short_whatever_ends_meanwhile(self):
        token = begin()
        dumphost.hurry_exit(True)
        dumphost.hurry_end(token)
        self.interval(OURS)
        dumphost.hurry_hold(True)
        self.interval(OURS)
        dumphost.hurry_tick()
        self.interval(OURS)
        dumphost.hurry_exit(False)
        self.interval(USUAL)

    def test_an_exit_does_not_wait_for_whoever_wants_it_long(self):
        dumphost.hurry_hold(True)
        dumphost.hurry_exit(True)
        self.interval(OURS)
        dumphost.hurry_exit(False)
        self.interval(USUAL)

    def test_who_comes_late_changes_nothing(self):
        late = begin()
        dumphost.hurry_tick()
        token = begin()
        dumphost.hurry_end(late)
        self.interval(OURS)
        dumphost.hurry_end(token)
        self.interval(USUAL)

    def test_further_requests_do_not_make_it_longer(self):
        token = begin()
        first = dumphost.hurry_due()
        other = begin()
        self.assertLessEqual(dumphost.hurry_due(), first)
        dumphost.hurry_end(token)
        dumphost.hurry_end(other)

    def test_what_the_program_sets_meanwhile_stays(self):
        for end in dumphost.hurry_end, lambda token: dumphost.hurry_tick():
            token = begin()
            sys.setswitchinterval(0.002)
            end(token)
            self.interval(0.002)
            sys.setswitchinterval(USUAL)

    def test_a_shorter_one_is_left_alone(self):
        sys.setswitchinterval(20e-6)
        token = begin()
        self.interval(20e-6)
        dumphost.hurry_end(token)
        self.interval(20e-6)

    def test_ours_saved_and_set_again_by_the_program_is_noticed(self):
        token = begin()
        saved = sys.getswitchinterval()
        dumphost.hurry_end(token)
        sys.setswitchinterval(saved)
        self.interval(OURS)
        dumphost.hurry_end(begin())
        self.interval(USUAL)

    def test_nothing_is_shortened_during_a_stretch_without_other_threads(self):
        token = begin()
        dumphost.hurry_hold(True)
        self.interval(USUAL)
        other = begin()
        self.interval(USUAL)
        dumphost.hurry_hold(False)
        dumphost.hurry_end(token)
        dumphost.hurry_end(other)
        self.interval(USUAL)

    def test_a_forked_child_gives_it_back(self):
        token = begin()
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads that other tests left behind
            pid = os.fork()
        if pid == 0:
            before = sys.getswitchinterval()
            dumphost.hurry_forget()
            dumphost.hurry_end(token)
            os.write(write, f"{before:.6f} {sys.getswitchinterval():.6f} {dumphost.hurry_due()}".encode())
            os._exit(0)
        os.waitpid(pid, 0)
        self.assertEqual(os.read(read, 100), b"0.000053 0.005000 None")
        os.close(read)
        os.close(write)
        self.interval(OURS)
        dumphost.hurry_end(token)
        self.interval(USUAL)


if __name__ == "__main__":
    unittest.main()
