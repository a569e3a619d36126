;; Kernels over tensors where TensorFlow.js's WebAssembly backend keeps them: the memory is the backend's. Pointers and strides are
;; in bytes, sizes in numbers. Whoever calls sees to it that sizes are positive.
(module
  (import "heap" "memory" (memory 1))

  ;; Four rows of `count` numbers, `stride` apart, side by side: (r0[k], r1[k], r2[k], r3[k]) at `to` + k `step`. Of `rows` < 4
  ;; the last stands in for those that are missing.
  (func $packRows (param $from i32) (param $stride i32) (param $rows i32) (param $count i32) (param $to i32) (param $step i32)
    (local $r1 i32) (local $r2 i32) (local $r3 i32) (local $end i32)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $ab v128) (local $cd v128)
    (local.set $r1 (i32.add (local.get $from) (select (local.get $stride) (i32.const 0) (i32.gt_u (local.get $rows) (i32.const 1)))))
    (local.set $r2 (i32.add (local.get $r1) (select (local.get $stride) (i32.const 0) (i32.gt_u (local.get $rows) (i32.const 2)))))
    (local.set $r3 (i32.add (local.get $r2) (select (local.get $stride) (i32.const 0) (i32.gt_u (local.get $rows) (i32.const 3)))))
    (local.set $end (i32.add (local.get $from) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 2))))
    (block $none
      (br_if $none (i32.eq (local.get $from) (local.get $end)))
      (loop $four
        (local.set $a (v128.load (local.get $from)))
        (local.set $b (v128.load (local.get $r1)))
        (local.set $c (v128.load (local.get $r2)))
        (local.set $d (v128.load (local.get $r3)))
        (local.set $ab (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $a) (local.get $b)))
        (local.set $cd (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $c) (local.get $d)))
        (v128.store (local.get $to) (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $ab) (local.get $cd)))
        (local.set $to (i32.add (local.get $to) (local.get $step)))
        (v128.store (local.get $to) (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $ab) (local.get $cd)))
        (local.set $to (i32.add (local.get $to) (local.get $step)))
        (local.set $ab (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b)))
        (local.set $cd (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d)))
        (v128.store (local.get $to) (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $ab) (local.get $cd)))
        (local.set $to (i32.add (local.get $to) (local.get $step)))
        (v128.store (local.get $to) (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $ab) (local.get $cd)))
        (local.set $to (i32.add (local.get $to) (local.get $step)))
        (local.set $r1 (i32.add (local.get $r1) (i32.const 16)))
        (local.set $r2 (i32.add (local.get $r2) (i32.const 16)))
        (local.set $r3 (i32.add (local.get $r3) (i32.const 16)))
        (local.set $from (i32.add (local.get $from) (i32.const 16)))
        (br_if $four (i32.ne (local.get $from) (local.get $end)))))
    (local.set $end (i32.add (local.get $from) (i32.shl (i32.and (local.get $count) (i32.const 3)) (i32.const 2))))
    (block $none
      (br_if $none (i32.eq (local.get $from) (local.get $end)))
      (loop $one
        (f32.store (local.get $to) (f32.load (local.get $from)))
        (f32.store offset=4 (local.get $to) (f32.load (local.get $r1)))
        (f32.store offset=8 (local.get $to) (f32.load (local.get $r2)))
        (f32.store offset=12 (local.get $to) (f32.load (local.get $r3)))
        (local.set $to (i32.add (local.get $to) (local.get $step)))
        (local.set $r1 (i32.add (local.get $r1) (i32.const 4)))
        (local.set $r2 (i32.add (local.get $r2) (i32.const 4)))
        (local.set $r3 (i32.add (local.get $r3) (i32.const 4)))
        (local.set $from (i32.add (local.get $from) (i32.const 4)))
        (br_if $one (i32.ne (local.get $from) (local.get $end))))))

  ;; `columns` <= 8 neighbouring numbers of each of `count` rows, `stride` apart, at `to` + k `step`. What the columns that are missing
  ;; would be is left as it is.
  (func $packColumns (param $from i32) (param $stride i32) (param $columns i32) (param $count i32) (param $to i32) (param $step i32)
    (local $i i32)
    (if (i32.eq (local.get $columns) (i32.const 8))
      (then
        (loop $row
          (v128.store (local.get $to) (v128.load (local.get $from)))
          (v128.store offset=16 (local.get $to) (v128.load offset=16 (local.get $from)))
          (local.set $from (i32.add (local.get $from) (local.get $stride)))
          (local.set $to (i32.add (local.get $to) (local.get $step)))
          (br_if $row (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
      (else (if (i32.eq (local.get $columns) (i32.const 4))
        (then
          (loop $row
            (v128.store (local.get $to) (v128.load (local.get $from)))
            (local.set $from (i32.add (local.get $from) (local.get $stride)))
            (local.set $to (i32.add (local.get $to) (local.get $step)))
            (br_if $row (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
        (else
          (local.set $columns (i32.shl (local.get $columns) (i32.const 2)))
          (loop $row
            (local.set $i (i32.const 0))
            (loop $column
              (f32.store (i32.add (local.get $to) (local.get $i)) (f32.load (i32.add (local.get $from) (local.get $i))))
              (br_if $column (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $columns))))
            (local.set $from (i32.add (local.get $from) (local.get $stride)))
            (local.set $to (i32.add (local.get $to) (local.get $step)))
            (br_if $row (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))))))

  ;; Four by eight numbers of a product, rows `stride` apart: sums over k of a[k] b[k]^T with a[k] four numbers and b[k] eight, one
  ;; after the other; with `add` on top of what is there.
  (func $tile (param $a i32) (param $b i32) (param $k i32) (param $c i32) (param $stride i32) (param $add i32)
    (local $c00 v128) (local $c01 v128) (local $c10 v128) (local $c11 v128)
    (local $c20 v128) (local $c21 v128) (local $c30 v128) (local $c31 v128)
    (local $b0 v128) (local $b1 v128) (local $s v128) (local $c1 i32) (local $c2 i32) (local $c3 i32)
    (local.set $c1 (i32.add (local.get $c) (local.get $stride)))
    (local.set $c2 (i32.add (local.get $c1) (local.get $stride)))
    (local.set $c3 (i32.add (local.get $c2) (local.get $stride)))
    (loop $next
      (local.set $b0 (v128.load (local.get $b)))
      (local.set $b1 (v128.load offset=16 (local.get $b)))
      (local.set $s (v128.load32_splat (local.get $a)))
      (local.set $c00 (f32x4.add (local.get $c00) (f32x4.mul (local.get $s) (local.get $b0))))
      (local.set $c01 (f32x4.add (local.get $c01) (f32x4.mul (local.get $s) (local.get $b1))))
      (local.set $s (v128.load32_splat offset=4 (local.get $a)))
      (local.set $c10 (f32x4.add (local.get $c10) (f32x4.mul (local.get $s) (local.get $b0))))
      (local.set $c11 (f32x4.add (local.get $c11) (f32x4.mul (local.get $s) (local.get $b1))))
      (local.set $s (v128.load32_splat offset=8 (local.get $a)))
      (local.set $c20 (f32x4.add (local.get $c20) (f32x4.mul (local.get $s) (local.get $b0))))
      (local.set $c21 (f32x4.add (local.get $c21) (f32x4.mul (local.get $s) (local.get $b1))))
      (local.set $s (v128.load32_splat offset=12 (local.get $a)))
      (local.set $c30 (f32x4.add (local.get $c30) (f32x4.mul (local.get $s) (local.get $b0))))
      (local.set $c31 (f32x4.add (local.get $c31) (f32x4.mul (local.get $s) (local.get $b1))))
      (local.set $a (i32.add (local.get $a) (i32.const 16)))
      (local.set $b (i32.add (local.get $b) (i32.const 32)))
      (br_if $next (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))
    (if (local.get $add)
      (then
        (local.set $c00 (f32x4.add (v128.load (local.get $c)) (local.get $c00)))
        (local.set $c01 (f32x4.add (v128.load offset=16 (local.get $c)) (local.get $c01)))
        (local.set $c10 (f32x4.add (v128.load (local.get $c1)) (local.get $c10)))
        (local.set $c11 (f32x4.add (v128.load offset=16 (local.get $c1)) (local.get $c11)))
        (local.set $c20 (f32x4.add (v128.load (local.get $c2)) (local.get $c20)))
        (local.set $c21 (f32x4.add (v128.load offset=16 (local.get $c2)) (local.get $c21)))
        (local.set $c30 (f32x4.add (v128.load (local.get $c3)) (local.get $c30)))
        (local.set $c31 (f32x4.add (v128.load offset=16 (local.get $c3)) (local.get $c31)))))
    (v128.store (local.get $c) (local.get $c00))
    (v128.store offset=16 (local.get $c) (local.get $c01))
    (v128.store (local.get $c1) (local.get $c10))
    (v128.store offset=16 (local.get $c1) (local.get $c11))
    (v128.store (local.get $c2) (local.get $c20))
    (v128.store offset=16 (local.get $c2) (local.get $c21))
    (v128.store (local.get $c3) (local.get $c30))
    (v128.store offset=16 (local.get $c3) (local.get $c31)))

  ;; The first `rows` x `columns` of a tile at `from`, whose rows are 32 bytes, to `to`.
  (func $trim (param $from i32) (param $to i32) (param $stride i32) (param $rows i32) (param $columns i32) (param $add i32)
    (local $i i32)
    (local.set $columns (i32.shl (local.get $columns) (i32.const 2)))
    (loop $row
      (local.set $i (i32.const 0))
      (loop $column
        (f32.store (i32.add (local.get $to) (local.get $i))
          (f32.add
            (f32.load (i32.add (local.get $from) (local.get $i)))
            (if (result f32) (local.get $add)
              (then (f32.load (i32.add (local.get $to) (local.get $i))))
              (else (f32.const -0)))))
        (br_if $column (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $columns))))
      (local.set $from (i32.add (local.get $from) (i32.const 32)))
      (local.set $to (i32.add (local.get $to) (local.get $stride)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))))

  (func $least (param $a i32) (param $b i32) (result i32)
    (select (local.get $a) (local.get $b) (i32.lt_u (local.get $a) (local.get $b))))

  ;; C = A B of `count` pairs of matrices, `stepA`, `stepB` and m n numbers apart: A [m, k], or [k, m] with `transposeA`; B [k, n], or
  ;; [n, k] with `transposeB`. In blocks of 256 of k, 512 of n and 128 of m, which are laid out as $tile reads them (Goto and
  ;; van de Geijn 2008): `work` has room for 512 x 256 + 128 x 256 + 32 numbers.
  (func (export "product") (param $a i32) (param $b i32) (param $c i32) (param $m i32) (param $n i32) (param $k i32)
    (param $transposeA i32) (param $transposeB i32) (param $count i32) (param $stepA i32) (param $stepB i32) (param $work i32)
    (local $j0 i32) (local $nc i32) (local $k0 i32) (local $kc i32) (local $i0 i32) (local $mc i32)
    (local $i i32) (local $j i32) (local $packedA i32) (local $spare i32) (local $at i32)
    (local.set $packedA (i32.add (local.get $work) (i32.const 524288)))
    (local.set $spare (i32.add (local.get $packedA) (i32.const 131072)))
    (loop $matrix
      (local.set $j0 (i32.const 0))
      (loop $columns
        (local.set $nc (call $least (i32.const 512) (i32.sub (local.get $n) (local.get $j0))))
        (local.set $k0 (i32.const 0))
        (loop $terms
          (local.set $kc (call $least (i32.const 256) (i32.sub (local.get $k) (local.get $k0))))
          (local.set $j (i32.const 0))
          (loop $panel
            (local.set $at (i32.add (local.get $work) (i32.shl (i32.mul (local.get $j) (local.get $kc)) (i32.const 2))))
            (if (local.get $transposeB)
              (then
                (local.set $i (i32.add (local.get $b) (i32.shl (i32.add (i32.mul (i32.add (local.get $j0) (local.get $j)) (local.get $k)) (local.get $k0)) (i32.const 2))))
                (call $packRows (local.get $i) (i32.shl (local.get $k) (i32.const 2))
                  (i32.sub (local.get $nc) (local.get $j)) (local.get $kc) (local.get $at) (i32.const 32))
                (if (i32.gt_u (i32.sub (local.get $nc) (local.get $j)) (i32.const 4))
                  (then
                    (call $packRows (i32.add (local.get $i) (i32.shl (local.get $k) (i32.const 4))) (i32.shl (local.get $k) (i32.const 2))
                      (i32.sub (i32.sub (local.get $nc) (local.get $j)) (i32.const 4)) (local.get $kc)
                      (i32.add (local.get $at) (i32.const 16)) (i32.const 32)))))
              (else
                (call $packColumns
                  (i32.add (local.get $b) (i32.shl (i32.add (i32.add (i32.mul (local.get $k0) (local.get $n)) (local.get $j0)) (local.get $j)) (i32.const 2)))
                  (i32.shl (local.get $n) (i32.const 2)) (call $least (i32.const 8) (i32.sub (local.get $nc) (local.get $j)))
                  (local.get $kc) (local.get $at) (i32.const 32))))
            (br_if $panel (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 8))) (local.get $nc))))
          (local.set $i0 (i32.const 0))
          (loop $rows
            (local.set $mc (call $least (i32.const 128) (i32.sub (local.get $m) (local.get $i0))))
            (local.set $i (i32.const 0))
            (loop $panel
              (local.set $at (i32.add (local.get $packedA) (i32.shl (i32.mul (local.get $i) (local.get $kc)) (i32.const 2))))
              (if (local.get $transposeA)
                (then
                  (call $packColumns
                    (i32.add (local.get $a) (i32.shl (i32.add (i32.add (i32.mul (local.get $k0) (local.get $m)) (local.get $i0)) (local.get $i)) (i32.const 2)))
                    (i32.shl (local.get $m) (i32.const 2)) (call $least (i32.const 4) (i32.sub (local.get $mc) (local.get $i)))
                    (local.get $kc) (local.get $at) (i32.const 16)))
                (else
                  (call $packRows
                    (i32.add (local.get $a) (i32.shl (i32.add (i32.mul (i32.add (local.get $i0) (local.get $i)) (local.get $k)) (local.get $k0)) (i32.const 2)))
                    (i32.shl (local.get $k) (i32.const 2)) (i32.sub (local.get $mc) (local.get $i))
                    (local.get $kc) (local.get $at) (i32.const 16))))
              (br_if $panel (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $mc))))
            (local.set $j (i32.const 0))
            (loop $across
              (local.set $i (i32.const 0))
              (loop $down
                (local.set $at (i32.add (local.get $c)
                  (i32.shl (i32.add (i32.add (i32.mul (i32.add (local.get $i0) (local.get $i)) (local.get $n)) (local.get $j0)) (local.get $j)) (i32.const 2))))
                (if (i32.and
                      (i32.ge_u (i32.sub (local.get $mc) (local.get $i)) (i32.const 4))
                      (i32.ge_u (i32.sub (local.get $nc) (local.get $j)) (i32.const 8)))
                  (then
                    (call $tile
                      (i32.add (local.get $packedA) (i32.shl (i32.mul (local.get $i) (local.get $kc)) (i32.const 2)))
                      (i32.add (local.get $work) (i32.shl (i32.mul (local.get $j) (local.get $kc)) (i32.const 2)))
                      (local.get $kc) (local.get $at) (i32.shl (local.get $n) (i32.const 2)) (local.get $k0)))
                  (else
                    (call $tile
                      (i32.add (local.get $packedA) (i32.shl (i32.mul (local.get $i) (local.get $kc)) (i32.const 2)))
                      (i32.add (local.get $work) (i32.shl (i32.mul (local.get $j) (local.get $kc)) (i32.const 2)))
                      (local.get $kc) (local.get $spare) (i32.const 32) (i32.const 0))
                    (call $trim (local.get $spare) (local.get $at) (i32.shl (local.get $n) (i32.const 2))
                      (call $least (i32.const 4) (i32.sub (local.get $mc) (local.get $i)))
                      (call $least (i32.const 8) (i32.sub (local.get $nc) (local.get $j))) (local.get $k0))))
                (br_if $down (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4))) (local.get $mc))))
              (br_if $across (i32.lt_u (local.tee $j (i32.add (local.get $j) (i32.const 8))) (local.get $nc))))
            (br_if $rows (i32.lt_u (local.tee $i0 (i32.add (local.get $i0) (i32.const 128))) (local.get $m))))
          (br_if $terms (i32.lt_u (local.tee $k0 (i32.add (local.get $k0) (i32.const 256))) (local.get $k))))
        (br_if $columns (i32.lt_u (local.tee $j0 (i32.add (local.get $j0) (i32.const 512))) (local.get $n))))
      (local.set $a (i32.add (local.get $a) (i32.shl (local.get $stepA) (i32.const 2))))
      (local.set $b (i32.add (local.get $b) (i32.shl (local.get $stepB) (i32.const 2))))
      (local.set $c (i32.add (local.get $c) (i32.shl (i32.mul (local.get $m) (local.get $n)) (i32.const 2))))
      (br_if $matrix (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))

  ;; Copies a tensor of up to four axes and runs of `run` bytes (a multiple of 4) with its axes in another order: `to` is n0 x n1 x n2 x
  ;; n3 runs one after the other, which lie s0, s1, s2 and s3 bytes apart in `from`.
  (func (export "permute") (param $from i32) (param $to i32) (param $run i32)
    (param $n0 i32) (param $n1 i32) (param $n2 i32) (param $n3 i32) (param $s0 i32) (param $s1 i32) (param $s2 i32) (param $s3 i32)
    (local $i0 i32) (local $i1 i32) (local $i2 i32) (local $i3 i32) (local $at i32) (local $f1 i32) (local $f2 i32) (local $f3 i32)
    (local $whole i32)
    (local.set $whole (i32.and (local.get $run) (i32.const -16)))
    (loop $one
      (local.set $f1 (local.get $from))
      (local.set $i1 (i32.const 0))
      (loop $two
        (local.set $f2 (local.get $f1))
        (local.set $i2 (i32.const 0))
        (loop $three
          (local.set $f3 (local.get $f2))
          (local.set $i3 (i32.const 0))
          (loop $four
            (local.set $at (i32.const 0))
            (block $none
              (br_if $none (i32.eqz (local.get $whole)))
              (loop $vector
                (v128.store (i32.add (local.get $to) (local.get $at)) (v128.load (i32.add (local.get $f3) (local.get $at))))
                (br_if $vector (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $whole)))))
            (block $none
              (br_if $none (i32.eq (local.get $at) (local.get $run)))
              (loop $number
                (i32.store (i32.add (local.get $to) (local.get $at)) (i32.load (i32.add (local.get $f3) (local.get $at))))
                (br_if $number (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $run)))))
            (local.set $to (i32.add (local.get $to) (local.get $run)))
            (local.set $f3 (i32.add (local.get $f3) (local.get $s3)))
            (br_if $four (i32.ne (local.tee $i3 (i32.add (local.get $i3) (i32.const 1))) (local.get $n3))))
          (local.set $f2 (i32.add (local.get $f2) (local.get $s2)))
          (br_if $three (i32.ne (local.tee $i2 (i32.add (local.get $i2) (i32.const 1))) (local.get $n2))))
        (local.set $f1 (i32.add (local.get $f1) (local.get $s1)))
        (br_if $two (i32.ne (local.tee $i1 (i32.add (local.get $i1) (i32.const 1))) (local.get $n1))))
      (local.set $from (i32.add (local.get $from) (local.get $s0)))
      (br_if $one (i32.ne (local.tee $i0 (i32.add (local.get $i0) (i32.const 1))) (local.get $n0)))))

  ;; c = a + b, a - b or a b, as `operation` is 0, 1 or 2, of `rows` rows of `columns` numbers: b's row `bStep` bytes after the one before, a single number for all columns
  ;; with `splat`.
  (func (export "combine") (param $operation i32) (param $a i32) (param $b i32) (param $c i32) (param $rows i32) (param $columns i32)
    (param $bStep i32) (param $splat i32)
    (local $x v128) (local $y v128) (local $at i32) (local $whole i32) (local $width i32)
    (local.set $width (i32.shl (local.get $columns) (i32.const 2)))
    (local.set $whole (i32.and (local.get $width) (i32.const -16)))
    (loop $row
      (local.set $at (i32.const 0))
      (if (local.get $splat) (then (local.set $y (v128.load32_splat (local.get $b)))))
      (block $none
        (br_if $none (i32.eqz (local.get $whole)))
        (loop $vector
          (local.set $x (v128.load (i32.add (local.get $a) (local.get $at))))
          (if (i32.eqz (local.get $splat)) (then (local.set $y (v128.load (i32.add (local.get $b) (local.get $at))))))
          (if (i32.eqz (local.get $operation))
            (then (local.set $x (f32x4.add (local.get $x) (local.get $y))))
            (else (if (i32.eq (local.get $operation) (i32.const 1))
              (then (local.set $x (f32x4.sub (local.get $x) (local.get $y))))
              (else (local.set $x (f32x4.mul (local.get $x) (local.get $y)))))))
          (v128.store (i32.add (local.get $c) (local.get $at)) (local.get $x))
          (br_if $vector (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $whole)))))
      (block $none
        (br_if $none (i32.eq (local.get $at) (local.get $width)))
        (loop $number
          (local.set $x (v128.load32_zero (i32.add (local.get $a) (local.get $at))))
          (if (i32.eqz (local.get $splat)) (then (local.set $y (v128.load32_zero (i32.add (local.get $b) (local.get $at))))))
          (if (i32.eqz (local.get $operation))
            (then (local.set $x (f32x4.add (local.get $x) (local.get $y))))
            (else (if (i32.eq (local.get $operation) (i32.const 1))
              (then (local.set $x (f32x4.sub (local.get $x) (local.get $y))))
              (else (local.set $x (f32x4.mul (local.get $x) (local.get $y)))))))
          (f32.store (i32.add (local.get $c) (local.get $at)) (f32x4.extract_lane 0 (local.get $x)))
          (br_if $number (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $width)))))
      (local.set $a (i32.add (local.get $a) (local.get $width)))
      (local.set $b (i32.add (local.get $b) (local.get $bStep)))
      (local.set $c (i32.add (local.get $c) (local.get $width)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))))

  ;; The sum of four numbers.
  (func $across (param $x v128) (result f32)
    (f32.add
      (f32.add (f32x4.extract_lane 0 (local.get $x)) (f32x4.extract_lane 1 (local.get $x)))
      (f32.add (f32x4.extract_lane 2 (local.get $x)) (f32x4.extract_lane 3 (local.get $x)))))

  ;; The sum of `count` numbers, in float64.
  (func $sum (param $x i32) (param $count i32) (result f64)
    (local $end i32) (local $four v128) (local $low v128) (local $high v128) (local $rest f64)
    (local.set $end (i32.add (local.get $x) (i32.shl (i32.and (local.get $count) (i32.const -4)) (i32.const 2))))
    (block $none
      (br_if $none (i32.eq (local.get $x) (local.get $end)))
      (loop $fours
        (local.set $four (v128.load (local.get $x)))
        (local.set $low (f64x2.add (local.get $low) (f64x2.promote_low_f32x4 (local.get $four))))
        (local.set $high (f64x2.add (local.get $high) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $four) (local.get $four)))))
        (br_if $fours (i32.ne (local.tee $x (i32.add (local.get $x) (i32.const 16))) (local.get $end)))))
    (local.set $end (i32.add (local.get $x) (i32.shl (i32.and (local.get $count) (i32.const 3)) (i32.const 2))))
    (block $none
      (br_if $none (i32.eq (local.get $x) (local.get $end)))
      (loop $one
        (local.set $rest (f64.add (local.get $rest) (f64.promote_f32 (f32.load (local.get $x)))))
        (br_if $one (i32.ne (local.tee $x (i32.add (local.get $x) (i32.const 4))) (local.get $end)))))
    (local.set $low (f64x2.add (local.get $low) (local.get $high)))
    (f64.add (local.get $rest)
      (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low)))))

  ;; The sum of every row of `columns` numbers, times `factor`.
  (func (export "sumRows") (param $x i32) (param $y i32) (param $rows i32) (param $columns i32) (param $factor f64)
    (loop $row
      (f32.store (local.get $y) (f32.demote_f64 (f64.mul (call $sum (local.get $x) (local.get $columns)) (local.get $factor))))
      (local.set $x (i32.add (local.get $x) (i32.shl (local.get $columns) (i32.const 2))))
      (local.set $y (i32.add (local.get $y) (i32.const 4)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))))

  ;; The sum of all rows. `y` holds zeros.
  (func (export "sumColumns") (param $x i32) (param $y i32) (param $rows i32) (param $columns i32)
    (local $at i32) (local $whole i32) (local $width i32) (local $to i32)
    (local.set $width (i32.shl (local.get $columns) (i32.const 2)))
    (local.set $whole (i32.and (local.get $width) (i32.const -16)))
    (loop $row
      (local.set $at (i32.const 0))
      (block $none
        (br_if $none (i32.eqz (local.get $whole)))
        (loop $vector
          (local.set $to (i32.add (local.get $y) (local.get $at)))
          (v128.store (local.get $to) (f32x4.add (v128.load (local.get $to)) (v128.load (i32.add (local.get $x) (local.get $at)))))
          (br_if $vector (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $whole)))))
      (block $none
        (br_if $none (i32.eq (local.get $at) (local.get $width)))
        (loop $number
          (local.set $to (i32.add (local.get $y) (local.get $at)))
          (f32.store (local.get $to) (f32.add (f32.load (local.get $to)) (f32.load (i32.add (local.get $x) (local.get $at)))))
          (br_if $number (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $width)))))
      (local.set $x (i32.add (local.get $x) (local.get $width)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1))))))

  ;; Every row less its mean, over its standard deviation: (x - mean) / sqrt(var + epsilon) in `y`, 1 / sqrt(var + epsilon) in
  ;; `inverse`.
  (func (export "standardize") (param $x i32) (param $y i32) (param $inverse i32) (param $rows i32) (param $columns i32) (param $epsilon f32)
    (local $at i32) (local $whole i32) (local $width i32) (local $mean f32) (local $scale f32) (local $c v128) (local $squares v128)
    (local $rest f32) (local $d f32) (local $to i32)
    (local.set $width (i32.shl (local.get $columns) (i32.const 2)))
    (local.set $whole (i32.and (local.get $width) (i32.const -16)))
    (loop $row
      (local.set $mean (f32.demote_f64 (f64.div (call $sum (local.get $x) (local.get $columns)) (f64.convert_i32_u (local.get $columns)))))
      (local.set $squares (v128.const f32x4 0 0 0 0))
      (local.set $rest (f32.const 0))
      (local.set $at (i32.const 0))
      (block $none
        (br_if $none (i32.eqz (local.get $whole)))
        (loop $vector
          (local.set $c (f32x4.sub (v128.load (i32.add (local.get $x) (local.get $at))) (f32x4.splat (local.get $mean))))
          (local.set $squares (f32x4.add (local.get $squares) (f32x4.mul (local.get $c) (local.get $c))))
          (v128.store (i32.add (local.get $y) (local.get $at)) (local.get $c))
          (br_if $vector (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $whole)))))
      (block $none
        (br_if $none (i32.eq (local.get $at) (local.get $width)))
        (loop $number
          (local.set $d (f32.sub (f32.load (i32.add (local.get $x) (local.get $at))) (local.get $mean)))
          (local.set $rest (f32.add (local.get $rest) (f32.mul (local.get $d) (local.get $d))))
          (f32.store (i32.add (local.get $y) (local.get $at)) (local.get $d))
          (br_if $number (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $width)))))
      (local.set $scale (f32.div (f32.const 1) (f32.sqrt (f32.add (local.get $epsilon)
        (f32.div (f32.add (call $across (local.get $squares)) (local.get $rest)) (f32.convert_i32_u (local.get $columns)))))))
      (f32.store (local.get $inverse) (local.get $scale))
      (local.set $at (i32.const 0))
      (block $none
        (br_if $none (i32.eqz (local.get $whole)))
        (loop $vector
          (local.set $to (i32.add (local.get $y) (local.get $at)))
          (v128.store (local.get $to) (f32x4.mul (v128.load (local.get $to)) (f32x4.splat (local.get $scale))))
          (br_if $vector (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $whole)))))
      (block $none
        (br_if $none (i32.eq (local.get $at) (local.get $width)))
        (loop $number
          (local.set $to (i32.add (local.get $y) (local.get $at)))
          (f32.store (local.get $to) (f32.mul (f32.load (local.get $to)) (local.get $scale)))
          (br_if $number (i32.ne (local.tee $at (i32.add (local.get $at) (i32.const 4))) (local.get $width)))))
      (local.set $x (i32.add (local.get $x) (local.get $width)))
      (local.set $y (i32.add (local.get $y) (local.get $width)))
      (local.set $inverse (i32.add (local.get $inverse) (i32.const 4)))
      (br_if $row (local.tee $rows (i32.sub (local.get $rows) (i32.const 1)))))))
