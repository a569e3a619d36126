;; The loop of `momentsOf`, four float32 at a time: squares are added up in float64, in four sums, magnitudes compared as they
;; are. `node scripts/build-wasm.js` compiles this file into moments.wasm.ts.
;;
;; Memory: at 0 the sums of squares of the numbers seen so far, two float64; at 16 their largest magnitudes, four float32;
;; from 1024 a chunk of up to 4096 float32.
(module
  (import "arrays" "memory" (memory 1))

  ;; Takes in $length numbers from $at on, a multiple of 4. A NaN shows in the sums alone.
  (func (export "moments") (param $at i32) (param $length i32)
    (local $end i32)
    (local $x v128) (local $high v128)
    (local $squares v128) (local $highSquares v128) (local $max v128)
    (local.set $squares (v128.load (i32.const 0)))
    (local.set $max (v128.load (i32.const 16)))
    (local.set $end (i32.add (local.get $at) (i32.shl (local.get $length) (i32.const 2))))
    (loop $fours
      (local.set $high (f64x2.promote_low_f32x4
        (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15
          (local.tee $x (v128.load (local.get $at))) (local.get $x))))
      (local.set $max (f32x4.pmax (local.get $max) (f32x4.abs (local.get $x))))
      (local.set $x (f64x2.promote_low_f32x4 (local.get $x)))
      (local.set $squares (f64x2.add (local.get $squares) (f64x2.mul (local.get $x) (local.get $x))))
      (local.set $highSquares (f64x2.add (local.get $highSquares) (f64x2.mul (local.get $high) (local.get $high))))
      (br_if $fours
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (v128.store (i32.const 0) (f64x2.add (local.get $squares) (local.get $highSquares)))
    (v128.store (i32.const 16) (local.get $max))))
