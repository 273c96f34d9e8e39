"""What can be seen of the suite without FreeBSD: python3 -B -m unittest discover -s tests/kyua"""

import os
import re
import subprocess
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = sorted(name for name in os.listdir(HERE) if name.endswith('.sh'))


def read(*path):
    with open(os.path.join(HERE, *path), encoding='utf-8') as file:
        return file.read()


class Suite(unittest.TestCase):
    def test_the_kyuafile_has_all_programs(self):
        names = re.search(r"ipairs\{(.*?)\}", read('Kyuafile'), re.S)[1]
        self.assertEqual(sorted(re.findall(r"'(\w+)'", names)), [name.removesuffix('.sh') for name in PROGRAMS])

    def test_they_are_programs_of_atf_sh(self):
        for name in PROGRAMS:
            with self.subTest(name):
                self.assertTrue(os.access(os.path.join(HERE, name), os.X_OK))
                self.assertTrue(read(name).startswith('#!/usr/libexec/atf-sh\n'))
        for name in PROGRAMS + ['lagg.subr']:
            with self.subTest(name):
                subprocess.run(['sh', '-n', os.path.join(HERE, name)], check=True)

    def test_each_case_is_whole_and_run(self):
        for name in PROGRAMS:
            text = read(name)
            cases = re.findall(r'^atf_test_case (\w+) cleanup$', text, re.M)
            with self.subTest(name):
                self.assertEqual(cases, re.findall(r'^\tatf_add_test_case (\w+)$', text, re.M))
                self.assertTrue(cases)
            for case in cases:
                with self.subTest(f'{name}:{case}'):
                    for part in 'head', 'body', 'cleanup':
                        self.assertEqual(len(re.findall(rf'^{case}_{part}\(\)$', text, re.M)), 1, part)
                    self.assertRegex(text, rf'(?m)^{case}_head\(\)\n{{\n\tatf_set descr "')

    def test_what_c_lagg_fails_is_in_the_docs(self):
        known = set(re.findall(r'^\| ([DF]-\d+b?) \|', read('..', '..', 'docs', 'compared.md'), re.M))
        self.assertGreater(len(known), 50)
        for name in PROGRAMS:
            for reason in re.findall(r'c_(?:fails|panics) (.*)', read(name)):
                with self.subTest(f'{name}: {reason}'):
                    self.assertLessEqual(set(re.findall(r'[DF]-\d+b?', reason)), known)


if __name__ == '__main__':
    unittest.main()
