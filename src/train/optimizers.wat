;; The loops of the optimizers, four float32 at a time, each operation in the order in which the formula is written, so that
;; every element comes out as a loop over single float32 numbers would have it, bit for bit.
;; `node scripts/build-wasm.js` compiles this file into optimizers.wasm.ts.
;;
;; Memory: from 0 sums over what has been measured so far, two float64 each, of the even and of the odd elements:
;;   0 squares of the update, 16 the largest of them, 32 squares of the parameter before, 48 the largest of them.
;; A NaN is never the largest.
;; Then chunks of up to 4096 float32, each for one of the arrays that loops are told the places of, where that is elsewhere:
;;   1024 gradient, 17408 parameter, 33792 velocity or first moment, 50176 second moment, 66560 parameter before.
(module
  (import "arrays" "memory" (memory 2))

  ;; p -= rate * m / (sqrt(v * correct2) + epsilon) + shrink * p, where g = scale * gradient + penalty * p,
  ;; m = beta1 * m + rest1 * g and v = beta2 * v + rest2 * g * g; rest1 is 1 - beta1, rest2 is 1 - beta2.
  ;; $length is a multiple of 4.
  (func (export "adam")
    (param $length i32) (param $gradient i32) (param $parameter i32) (param $first i32) (param $second i32)
    (param $scale f32) (param $penalty f32)
    (param $beta1 f32) (param $rest1 f32) (param $beta2 f32) (param $rest2 f32)
    (param $rate f32) (param $correct2 f32) (param $epsilon f32) (param $shrink f32)
    (local $at i32) (local $end i32)
    (local $g v128) (local $p v128) (local $m v128) (local $v v128)
    (local $scales v128) (local $penalties v128)
    (local $betas1 v128) (local $rests1 v128) (local $betas2 v128) (local $rests2 v128)
    (local $rates v128) (local $corrects2 v128) (local $epsilons v128) (local $shrinks v128)
    (local.set $scales (f32x4.splat (local.get $scale)))
    (local.set $penalties (f32x4.splat (local.get $penalty)))
    (local.set $betas1 (f32x4.splat (local.get $beta1)))
    (local.set $rests1 (f32x4.splat (local.get $rest1)))
    (local.set $betas2 (f32x4.splat (local.get $beta2)))
    (local.set $rests2 (f32x4.splat (local.get $rest2)))
    (local.set $rates (f32x4.splat (local.get $rate)))
    (local.set $corrects2 (f32x4.splat (local.get $correct2)))
    (local.set $epsilons (f32x4.splat (local.get $epsilon)))
    (local.set $shrinks (f32x4.splat (local.get $shrink)))
    (local.set $end (i32.shl (local.get $length) (i32.const 2)))
    (loop $fours
      (local.set $p (v128.load (i32.add (local.get $parameter) (local.get $at))))
      (local.set $g (f32x4.add
        (f32x4.mul (v128.load (i32.add (local.get $gradient) (local.get $at))) (local.get $scales))
        (f32x4.mul (local.get $penalties) (local.get $p))))
      (local.set $m (f32x4.add
        (f32x4.mul (local.get $betas1) (v128.load (i32.add (local.get $first) (local.get $at))))
        (f32x4.mul (local.get $rests1) (local.get $g))))
      (local.set $v (f32x4.add
        (f32x4.mul (local.get $betas2) (v128.load (i32.add (local.get $second) (local.get $at))))
        (f32x4.mul (f32x4.mul (local.get $rests2) (local.get $g)) (local.get $g))))
      (v128.store (i32.add (local.get $first) (local.get $at)) (local.get $m))
      (v128.store (i32.add (local.get $second) (local.get $at)) (local.get $v))
      (v128.store (i32.add (local.get $parameter) (local.get $at))
        (f32x4.sub
          (f32x4.sub
            (local.get $p)
            (f32x4.div
              (f32x4.mul (local.get $rates) (local.get $m))
              (f32x4.add (f32x4.sqrt (f32x4.mul (local.get $v) (local.get $corrects2))) (local.get $epsilons))))
          (f32x4.mul (local.get $shrinks) (local.get $p))))
      (br_if $fours
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  ;; p -= rate * u, where u = momentum * u + (scale * gradient + penalty * p); without momentum no velocity is kept.
  ;; $length is a multiple of 4.
  (func (export "sgd")
    (param $length i32) (param $gradient i32) (param $parameter i32) (param $velocity i32)
    (param $scale f32) (param $penalty f32) (param $momentum f32) (param $rate f32)
    (local $at i32) (local $end i32)
    (local $u v128) (local $p v128)
    (local $scales v128) (local $penalties v128) (local $momenta v128) (local $rates v128)
    (local.set $scales (f32x4.splat (local.get $scale)))
    (local.set $penalties (f32x4.splat (local.get $penalty)))
    (local.set $momenta (f32x4.splat (local.get $momentum)))
    (local.set $rates (f32x4.splat (local.get $rate)))
    (local.set $end (i32.shl (local.get $length) (i32.const 2)))
    (loop $fours
      (local.set $p (v128.load (i32.add (local.get $parameter) (local.get $at))))
      (local.set $u (f32x4.add
        (f32x4.mul (v128.load (i32.add (local.get $gradient) (local.get $at))) (local.get $scales))
        (f32x4.mul (local.get $penalties) (local.get $p))))
      (if (f32.ne (local.get $momentum) (f32.const 0)) (then
        (local.set $u (f32x4.add
          (f32x4.mul (local.get $momenta) (v128.load (i32.add (local.get $velocity) (local.get $at))))
          (local.get $u)))
        (v128.store (i32.add (local.get $velocity) (local.get $at)) (local.get $u))))
      (v128.store (i32.add (local.get $parameter) (local.get $at))
        (f32x4.sub (local.get $p) (f32x4.mul (local.get $rates) (local.get $u))))
      (br_if $fours
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  ;; Adds up what an update did, in float64, two numbers at a time: from the parameter and the parameter before. $length is even.
  (func (export "measure") (param $length i32) (param $parameter i32) (param $before i32)
    (local $at i32) (local $end i32) (local $old v128) (local $square v128)
    (local $updateSquares v128) (local $updateMax v128) (local $parameterSquares v128) (local $parameterMax v128)
    (local.set $updateSquares (v128.load (i32.const 0)))
    (local.set $updateMax (v128.load (i32.const 16)))
    (local.set $parameterSquares (v128.load (i32.const 32)))
    (local.set $parameterMax (v128.load (i32.const 48)))
    (local.set $end (i32.shl (local.get $length) (i32.const 2)))
    (loop $pairs
      (local.set $old (f64x2.promote_low_f32x4 (v128.load64_zero (i32.add (local.get $before) (local.get $at)))))
      (local.set $square (f64x2.sub
        (f64x2.promote_low_f32x4 (v128.load64_zero (i32.add (local.get $parameter) (local.get $at))))
        (local.get $old)))
      (local.set $square (f64x2.mul (local.get $square) (local.get $square)))
      (local.set $updateSquares (f64x2.add (local.get $updateSquares) (local.get $square)))
      (local.set $updateMax (f64x2.pmax (local.get $updateMax) (local.get $square)))
      (local.set $square (f64x2.mul (local.get $old) (local.get $old)))
      (local.set $parameterSquares (f64x2.add (local.get $parameterSquares) (local.get $square)))
      (local.set $parameterMax (f64x2.pmax (local.get $parameterMax) (local.get $square)))
      (br_if $pairs
        (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (local.get $end))))
    (v128.store (i32.const 0) (local.get $updateSquares))
    (v128.store (i32.const 16) (local.get $updateMax))
    (v128.store (i32.const 32) (local.get $parameterSquares))
    (v128.store (i32.const 48) (local.get $parameterMax))))
